from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from artifacts.measure.campaign import Campaign, MeasurementFailed, measure
from artifacts.measure.measurement import Measurement
from artifacts.measure.points import summarise
from artifacts.measure.protocol import Mode, Protocol
from artifacts.measure.results import pack_samples, unpack_samples
from tests.artifacts.measure.simulation import SimulatedServer

if TYPE_CHECKING:
    from artifacts.measure.load import Driver, Load


def run(driver: Driver, protocol: Protocol, echo_rps: float = 5000) -> Measurement:
    lines: list[str] = []
    campaign = Campaign(driver=driver, protocol=protocol, progress=lines.append, placement="same-host")
    measurement = campaign.run(echo_rps=echo_rps)
    assert len(lines) == 1 + len(measurement.all_points)
    return measurement


def test_the_peak_of_a_known_server_is_found_below_its_capacity() -> None:
    server = SimulatedServer(service_s=0.005, servers=2)  # 400 requests/s at most
    found = run(server, Protocol(slo_ms=20, percentile=99))
    assert found.peak is not None
    assert found.best is not None
    assert 250 < found.peak.rps < 400
    assert found.peak.low_rps <= found.peak.rps <= found.peak.high_rps
    assert found.best.verdict is not None
    assert found.best.verdict.met
    assert found.best.verdict.percentile == 90  # quick claims no more, and says so
    assert "p90" in found.protocol.disclaimer
    assert found.ceiling[-1].throughput_rps == pytest.approx(400, rel=0.03)


def test_standard_mode_claims_p99_and_confirms_it_for_longer() -> None:
    server = SimulatedServer(service_s=0.005, servers=2)
    found = run(server, Protocol(mode=Mode.STANDARD, slo_ms=20, percentile=99))
    assert found.best is not None
    assert found.best.duration_s == 60
    assert found.best.verdict is not None
    assert (found.best.verdict.percentile, found.best.verdict.met) == (99, True)
    p99 = found.best.quantile(99)
    assert p99 is not None
    assert p99.value_ms is not None
    assert p99.upper_ms is not None
    assert p99.value_ms <= p99.upper_ms <= 20


def test_mlperf_mode_runs_600_s_and_says_that_it_is_no_mlperf_result() -> None:
    found = run(SimulatedServer(service_s=0.02), Protocol(mode=Mode.MLPERF, slo_ms=100))
    assert found.best is not None
    assert found.best.duration_s == 600
    assert "not an MLPerf result" in found.to_json()["disclaimer"]


def test_quick_mode_fits_its_time_for_a_five_millisecond_model() -> None:
    server = SimulatedServer(service_s=0.005, servers=2)
    run(server, Protocol(slo_ms=50))
    assert sum(load.duration_s for load in server.loads) < 15


def test_a_tighter_limit_means_a_lower_peak() -> None:
    peaks = []
    for slo_ms in (6.5, 12, 50):
        found = run(SimulatedServer(service_s=0.005, servers=2), Protocol(mode=Mode.STANDARD, slo_ms=slo_ms))
        assert found.peak is not None
        peaks.append(found.peak.rps)
    assert peaks == sorted(peaks)
    assert peaks[0] < 0.7 * peaks[-1]


def test_a_limit_below_the_floor_is_not_searched_for() -> None:
    found = run(SimulatedServer(service_s=0.03), Protocol(slo_ms=10))
    assert found.peak is None
    assert found.points == ()
    assert "even one request at a time takes" in found.reason
    assert found.latency_point is found.floor


def test_failing_requests_are_violations_however_fast_the_others_are() -> None:
    server = SimulatedServer(service_s=0.005, servers=2, failing_from=150)
    found = run(server, Protocol(slo_ms=50, percentile=99))
    assert found.peak is not None
    assert found.best is not None
    assert found.best.asked_rps is not None
    assert found.best.asked_rps < 150
    assert any(point.errors for point in found.points)


def test_too_few_samples_never_meet_a_limit() -> None:
    found = run(SimulatedServer(service_s=0.9, servers=1), Protocol(slo_ms=5000))
    assert found.peak is None
    assert "insufficient samples" in found.reason


def test_without_a_limit_the_ceiling_is_the_peak_and_latency_is_still_shown() -> None:
    found = run(SimulatedServer(service_s=0.005, servers=2), Protocol())
    assert found.peak is not None
    assert found.peak.rps == pytest.approx(400, rel=0.03)
    assert found.peak.low_rps <= found.peak.rps <= found.peak.high_rps
    assert "no latency limit" in found.peak.basis
    assert [point.asked_rps for point in found.points] == pytest.approx([200, 320], rel=0.02)
    assert all(point.verdict is None for point in found.points)


def test_a_rate_asked_for_is_the_only_one_measured() -> None:
    server = SimulatedServer(service_s=0.005, servers=2)
    found = run(server, Protocol(rate=120, duration_s=3, slo_ms=20))
    assert [(point.asked_rps, point.duration_s) for point in found.points] == [(120, 3)]
    assert found.peak is not None
    assert found.peak.rps == pytest.approx(120)
    assert "may sustain more" in found.peak.basis


def test_a_rate_beyond_capacity_does_not_meet_the_limit() -> None:
    found = run(SimulatedServer(service_s=0.005, servers=2), Protocol(rate=800, slo_ms=20))
    assert found.peak is None
    assert "p90" in found.reason


def test_a_server_that_only_fails_is_an_error_and_not_a_figure() -> None:
    with pytest.raises(MeasurementFailed, match="no good answer"):
        run(SimulatedServer(service_s=0.005, broken=True), Protocol())


def test_a_slow_generator_is_warned_of() -> None:
    found = run(SimulatedServer(service_s=0.005, servers=2), Protocol(slo_ms=20), echo_rps=800)
    assert len(found.warnings) == 1
    assert any("2.0 times as fast" in warning for warning in found.warnings)
    assert found.generator.headroom == pytest.approx(2.0, rel=0.05)


def test_an_unsettled_server_is_warned_of_when_the_time_for_warming_up_is_over() -> None:
    found = run(SimulatedServer(service_s=0.005, settling=0.2), Protocol())
    assert not found.warm_up.steady
    assert found.warm_up.seconds >= 3.2
    assert "the server had not settled when the warm-up ended" in found.warnings


def test_a_measurement_survives_json_and_its_points_can_be_made_again_from_samples() -> None:
    found = run(SimulatedServer(service_s=0.005, servers=2), Protocol(slo_ms=20))
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert Measurement.from_json(document).to_json() == found.to_json()
    loads = unpack_samples(pack_samples(found))
    assert pack_samples(found) == pack_samples(found)
    for load, point in zip(loads, found.all_points, strict=True):
        again = summarise(load, found.protocol)
        assert (again.n, again.verdict) == (point.n, point.verdict)
        for quantile, before in zip(again.quantiles, point.quantiles, strict=True):
            assert quantile.value_ms == pytest.approx(before.value_ms, abs=1e-3)


class Sleepy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(0.01)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


def test_a_real_loopback_server_is_measured_from_warm_up_to_verdict() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Sleepy) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        protocol = Protocol(rate=40, duration_s=1.0, slo_ms=2000, max_concurrency=2)
        url = f"http://127.0.0.1:{server.server_port}/"
        found = measure(url, (b"{}", b"[]"), "application/json", protocol, lambda _: None)
        server.shutdown()
        thread.join()
    median = found.floor.quantile(50)
    assert median is not None
    assert median.value_ms is not None
    assert median.value_ms >= 10
    assert found.peak is not None
    assert found.peak.rps == pytest.approx(40)
    assert found.generator.echo_rps > 100


@dataclass
class TiringServer(SimulatedServer):
    """Keeps up in short runs, but holds only a share of the first long run's rate for longer."""

    holds: float = 1.0
    first_long_rate: float | None = None

    def open(self, *, rate: float, duration_s: float) -> Load:
        self.failing_from = float("inf")
        if duration_s == 60:
            self.first_long_rate = self.first_long_rate or rate
            self.failing_from = self.holds * self.first_long_rate
        return super().open(rate=rate, duration_s=duration_s)


def test_a_rate_that_does_not_hold_for_longer_is_backed_off_from() -> None:
    server = TiringServer(service_s=0.005, servers=2, holds=0.97)
    found = run(server, Protocol(mode=Mode.STANDARD, slo_ms=20))
    assert server.first_long_rate is not None
    assert found.best is found.points[-1]
    assert found.best.asked_rps == pytest.approx(0.95 * server.first_long_rate)


def test_a_rate_that_never_holds_for_longer_is_no_peak() -> None:
    server = TiringServer(service_s=0.005, servers=2, holds=0.5)
    found = run(server, Protocol(mode=Mode.STANDARD, slo_ms=20))
    assert found.peak is None
    assert "but not when confirmed" in found.reason
