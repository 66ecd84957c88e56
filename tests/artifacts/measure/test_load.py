from __future__ import annotations

import itertools
import math
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts.errors import BadRequest
from artifacts.measure.load import Load, Sample, Status, ThreadedDriver, Time, poisson_arrivals
from artifacts.measure.transport import Endpoint
from tests.artifacts.measure.simulation import FakeTime

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class FakeConnection:
    """Takes `service_s` of fake time per request; fails those whose number is in `failing`."""

    time: FakeTime
    service_s: float
    failing: frozenset[int] = frozenset()
    posted: list[bytes] = field(default_factory=list)
    closed: bool = False

    def post(self, payload: bytes) -> bool:
        self.time.sleep(self.service_s)
        self.posted.append(payload)
        return len(self.posted) not in self.failing

    def close(self) -> None:
        self.closed = True


def driver_on(connection: FakeConnection, payloads: tuple[bytes, ...] = (b"x",)) -> ThreadedDriver:
    time = Time(now=connection.time.now, sleep=connection.time.sleep)
    return ThreadedDriver(connect=lambda: connection, payloads=payloads, seed=3, max_concurrency=1, time=time)


@given(st.floats(0.5, 2000), st.floats(0.1, 10), st.integers(0, 99))
def test_the_schedule_holds_exactly_the_rate_asked_for(rate: float, duration_s: float, seed: int) -> None:
    arrivals = poisson_arrivals(rate, duration_s, seed)
    assert len(arrivals) == max(1, round(rate * duration_s))
    assert list(arrivals) == sorted(arrivals)
    assert arrivals[0] >= 0
    assert arrivals[-1] <= duration_s


def test_the_schedule_is_the_seeds_and_no_other() -> None:
    assert poisson_arrivals(50, 2, seed=1) == poisson_arrivals(50, 2, seed=1)
    assert poisson_arrivals(50, 2, seed=1) != poisson_arrivals(50, 2, seed=2)


def test_gaps_are_as_irregular_as_a_poisson_process() -> None:
    arrivals = poisson_arrivals(1000, 10, seed=5)
    gaps = [after - before for before, after in itertools.pairwise(arrivals)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert math.sqrt(variance) / mean == pytest.approx(1.0, abs=0.05)


def test_a_closed_loop_sends_the_next_request_when_the_last_is_answered() -> None:
    connection = FakeConnection(FakeTime(), service_s=0.01)
    load = driver_on(connection).closed(concurrency=1, duration_s=0.1)
    assert [round(sample.sent, 6) for sample in load.samples[:3]] == [0.0, 0.01, 0.02]
    assert load.throughput_rps == pytest.approx(100, rel=0.15)
    assert load.asked_rps is None
    assert connection.closed


def test_an_open_loop_counts_latency_from_when_a_request_was_due() -> None:
    connection = FakeConnection(FakeTime(), service_s=0.1)
    load = driver_on(connection).open(rate=20, duration_s=1)  # twice what one connection can do
    arrivals = poisson_arrivals(20, 1, seed=3)
    assert [sample.scheduled for sample in load.samples] == list(arrivals)
    answered = [sample for sample in load.samples if sample.status is Status.OK]
    assert max(sample.done - sample.sent for sample in answered) == pytest.approx(0.1)
    assert answered[-1].latency > 0.8  # the queue it waited in is part of its latency
    assert load.send_lag_s > 0.7


def test_what_could_not_be_sent_in_time_is_unsent_and_infinitely_late() -> None:
    connection = FakeConnection(FakeTime(), service_s=0.5)
    load = driver_on(connection).open(rate=20, duration_s=1)
    assert len(load.samples) == 20
    assert load.count(Status.UNSENT) == 20 - len(connection.posted) > 10
    assert load.ordered_latencies[-1] == math.inf
    assert load.achieved_rps < 5


def test_failures_count_as_infinite_latency_and_not_as_throughput() -> None:
    connection = FakeConnection(FakeTime(), service_s=0.01, failing=frozenset({2, 3}))
    load = driver_on(connection).closed(concurrency=1, duration_s=0.2)
    assert load.count(Status.FAILED) == 2
    assert load.ordered_latencies[-2:] == (math.inf, math.inf)
    assert load.throughput_rps == pytest.approx(load.count(Status.OK) / max(s.done for s in load.samples))


def test_goodput_counts_only_what_came_within_the_limit() -> None:
    samples = tuple(
        Sample(0.0, 0.0, latency, status)
        for latency, status in [(0.01, Status.OK), (0.02, Status.OK), (0.5, Status.OK), (0.01, Status.FAILED)]
    )
    load = Load(asked_rps=2, concurrency=1, duration_s=2.0, samples=samples)
    assert load.goodput_rps(0.02) == 1.0


def test_every_payload_is_drawn() -> None:
    connection = FakeConnection(FakeTime(), service_s=0.01)
    driver_on(connection, (b"a", b"b", b"c")).closed(concurrency=1, duration_s=0.5)
    assert set(connection.posted) == {b"a", b"b", b"c"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str, bytes, int]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.path, self.headers["Content-Type"], body, self.client_address[1]))
        self.send_response(500 if body == b"bad" else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, list[tuple[str, str, bytes, int]]]]:
    seen: list[tuple[str, str, bytes, int]] = []
    handler = type("Recording", (Handler,), {"seen": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/inference?x=1", seen
        running.shutdown()
        thread.join()


def test_a_real_server_is_loaded_over_connections_that_stay_open(
    server: tuple[str, list[tuple[str, str, bytes, int]]],
) -> None:
    url, seen = server
    endpoint = Endpoint(url=url, content_type="application/json", timeout_s=5)
    driver = ThreadedDriver(connect=endpoint.connect, payloads=(b"{}",), seed=1, max_concurrency=4)
    load = driver.open(rate=100, duration_s=0.5)
    assert load.count(Status.OK) == len(seen) == 50
    assert load.achieved_rps == pytest.approx(100, rel=0.2)
    assert {(path, kind, body) for path, kind, body, _ in seen} == {
        ("/inference?x=1", "application/json", b"{}")
    }
    assert len({port for *_, port in seen}) <= 4


def test_an_answer_other_than_200_is_a_failure(
    server: tuple[str, list[tuple[str, str, bytes, int]]],
) -> None:
    connection = Endpoint(url=server[0], content_type="text/plain", timeout_s=5).connect()
    assert not connection.post(b"bad")
    assert connection.post(b"good")
    connection.close()


def test_a_server_that_is_not_there_is_a_failure_and_not_an_exception() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as gone:
        port = gone.server_port
    connection = Endpoint(url=f"http://127.0.0.1:{port}/", content_type="text/plain", timeout_s=1).connect()
    assert not connection.post(b"x")


@pytest.mark.parametrize("url", ["https://127.0.0.1/", "file:///etc/passwd", "127.0.0.1:80", ""])
def test_only_plain_http_addresses_are_taken(url: str) -> None:
    with pytest.raises(BadRequest, match="not an http:// URL"):
        Endpoint(url=url, content_type="text/plain", timeout_s=1)
