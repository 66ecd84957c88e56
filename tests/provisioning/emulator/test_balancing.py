"""An emulated load balancer: whom it takes for healthy, whom it sends to, and what it answers for them."""

from __future__ import annotations

import http.client
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from provisioning.emulator import listener
from provisioning.emulator.balancing import Balancing, Check, Target, TargetGroup, probe

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECK = Check(
    port=8000,
    health_port=8001,
    path="/",
    interval_s=5,
    timeout_s=0.5,
    healthy_after=2,
    unhealthy_after=2,
    drain_s=0.2,
)


def walk(*answers: bool) -> list[str]:
    """Return the states a new host goes through with these answers."""
    target = Target(address="127.0.0.1")
    states = []
    for well in answers:
        target.hear(CHECK, well=well)
        states.append(target.state)
    return states


def test_a_new_host_is_healthy_with_its_first_good_answer() -> None:
    assert walk(True, True) == ["healthy", "healthy"]


def test_it_takes_two_answers_in_a_row_to_change_a_state() -> None:
    assert walk(True, False, True, False, False) == ["healthy"] * 4 + ["unhealthy"]
    assert walk(False, False, True, False, True, True) == [
        *("initial", "unhealthy", "unhealthy", "unhealthy", "unhealthy"),
        "healthy",
    ]


def group(**states: str) -> TargetGroup:
    made = TargetGroup(CHECK)
    made.keep({name: name for name in states})
    for name, state in states.items():
        made.targets[name].state = state
    return made


def sent_to(made: TargetGroup, requests: int) -> set[str]:
    found = set()
    for _ in range(requests):
        with made.chosen() as target:
            found.add("" if target is None else target.address)
    return found


def test_only_healthy_hosts_get_requests_in_turn_and_all_of_them_where_none_is() -> None:
    assert sent_to(group(a="healthy", b="healthy", c="unhealthy", d="initial"), 4) == {"a", "b"}
    assert sent_to(group(a="unhealthy", b="initial", c="draining"), 4) == {"a", "b"}
    assert sent_to(group(), 1) == {""}


def test_who_has_least_to_do_comes_next() -> None:
    made = group(a="healthy", b="healthy")
    with made.chosen() as first:
        assert first is not None
        others = sent_to(made, 4)
    assert others == {"a", "b"} - {first.address}
    assert [target.outstanding for target in made.targets.values()] == [0, 0]


def test_each_host_is_asked_once_in_an_interval() -> None:
    made, asked = group(a="initial"), []

    def note(target: Target, _check: Check) -> bool:
        asked.append(target.address)
        return True

    for now in (0.0, 4.9, 5.0, 9.0, 10.0):
        made.ask(now, note)
    assert asked == ["a"] * 3


def test_a_host_that_leaves_finishes_what_it_has_and_gets_nothing_more() -> None:
    made = group(a="healthy", b="healthy")
    with made.chosen() as busy:
        assert busy is not None
        made.drain(busy.address)  # it gives up after the drain's time
        assert busy.state == "draining"
        busy.hear(CHECK, well=True)
        assert sent_to(made, 4) == {"a", "b"} - {busy.address}
    made.drain("nobody")
    made.keep({"a": "a"})
    assert set(made.targets) == {"a"}


class Host(BaseHTTPRequestHandler):
    """Says what it was sent."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        told = f"{self.headers['X-Forwarded-Proto']} {self.headers['Content-Type']} ".encode() + body
        self.send_response(201)
        self.send_header("X-Model", "net")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def host() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Host) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def check_of(port: int) -> Check:
    return Check(
        port=port,
        health_port=port,
        path="/",
        interval_s=5,
        timeout_s=1,
        healthy_after=2,
        unhealthy_after=2,
        drain_s=1,
    )


@pytest.fixture
def balancing() -> Iterator[Balancing]:
    made = Balancing()
    yield made
    made.end()


def test_requests_and_answers_pass_and_a_lost_host_is_a_502(balancing: Balancing) -> None:
    with host() as port:
        made = balancing.group("tg", check_of(port))
        assert made is not None
        address = balancing.reserve("lb")
        balancing.listen("lb", lambda sock: listener.serve(sock, made, 5.0, None))
        connection = http.client.HTTPConnection("127.0.0.1", address, timeout=5)
        connection.request("POST", "/inference", b"{}", {"Content-Type": "application/json"})
        nobody = connection.getresponse()
        assert (nobody.status, nobody.read()) == (503, b"")
        made.keep({"i-1": "127.0.0.1"})
        connection.request("POST", "/inference", b"{}", {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert (answer.status, answer.headers["X-Model"]) == (201, "net")
        assert answer.read() == b"https application/json {}"
    balancing.group("tg", check_of(free_port()))
    connection.request("POST", "/inference", b"{}")
    lost = connection.getresponse()
    assert (lost.status, lost.read()) == (502, b"")
    connection.close()
    balancing.release("lb")
    with pytest.raises(OSError, match="refused"):
        http.client.HTTPConnection("127.0.0.1", address, timeout=5).connect()


def test_a_host_is_well_when_its_health_port_says_so() -> None:
    with host() as port:
        well = check_of(port)
        assert probe(Target(address="127.0.0.1"), well)
        assert not probe(Target(address="127.0.0.1"), check_of(free_port()))
