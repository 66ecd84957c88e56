"""The course of a measurement: warm-up, floor, ceiling, and the highest rate within the latency limit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from artifacts.errors import ServeFailed
from artifacts.measure.calibration import REQUIRED_HEADROOM, echo_server
from artifacts.measure.load import Driver, Load, Status, ThreadedDriver
from artifacts.measure.measurement import Generator, Measurement, Peak, WarmUp
from artifacts.measure.points import Point, summarise
from artifacts.measure.search import Bounds, Bracket, find_peak
from artifacts.measure.statistics import percentile, steady
from artifacts.measure.transport import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from artifacts.measure.protocol import Protocol

ENOUGH_GAIN = 1.05  # doubling the concurrency must bring this much, or the ceiling is reached
FIRST_SHARE = 0.5  # of the ceiling, where the rate search begins
LAST_SHARE = 1.2  # of the ceiling: an open loop cannot sustain more than a closed one, but noise can differ
BACK_OFF = (1.0, 0.95, 0.9)  # shares of the rate found that a confirmation tries
UNLIMITED_SHARES = (0.5, 0.8)  # of the ceiling, where latency is shown when there is no limit to search for
CALIBRATION_S = 0.4
CALIBRATION_CONCURRENCY = 4


class MeasurementFailed(ServeFailed):
    """The served model gave no good answer, so there is nothing to measure."""

    code = "measurement-failed"


def measure(
    url: str,
    payloads: Sequence[bytes],
    content_type: str,
    protocol: Protocol,
    progress: Callable[[str], None],
    *,
    placement: str = "same-host",
) -> Measurement:
    """Measure the model served at `url` with bodies drawn from `payloads`.

    Raises MeasurementFailed when the server gives no good answer.
    """
    driver = _driver(url, payloads, content_type, protocol)
    with echo_server() as echo:
        echo_driver = _driver(echo, payloads, content_type, protocol)
        echoed = echo_driver.closed(concurrency=CALIBRATION_CONCURRENCY, duration_s=CALIBRATION_S)
    campaign = Campaign(driver=driver, protocol=protocol, progress=progress, placement=placement)
    return campaign.run(echo_rps=echoed.throughput_rps)


def _driver(url: str, payloads: Sequence[bytes], content_type: str, protocol: Protocol) -> ThreadedDriver:
    endpoint = Endpoint(url=url, content_type=content_type, timeout_s=protocol.settings.timeout_s)
    return ThreadedDriver(
        connect=endpoint.connect,
        payloads=payloads,
        seed=protocol.seed,
        max_concurrency=protocol.max_concurrency,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """One measurement in the making; `driver` is what puts load on the server, real or simulated."""

    driver: Driver
    protocol: Protocol
    progress: Callable[[str], None]
    placement: str
    points: list[Point] = field(default_factory=list)  # open-loop points, as they are run

    def run(self, *, echo_rps: float) -> Measurement:
        """Run every phase and return what was found."""
        warm_up = self.warm_up()
        floor = self._closed(1, self.protocol.settings.closed_s)
        _refuse_silence(floor.n - floor.errors, floor.n)
        ceiling = self.ceiling(floor)
        top_rps = max(point.throughput_rps for point in ceiling)
        best, peak, reason = self.find_best(ceiling)
        generator = Generator(placement=self.placement, echo_rps=echo_rps, headroom=echo_rps / top_rps)
        return Measurement(
            protocol=self.protocol,
            warm_up=warm_up,
            floor=floor,
            ceiling=ceiling,
            points=tuple(self.points),
            best=best,
            peak=peak,
            reason=reason,
            generator=generator,
            warnings=_warnings(warm_up, generator, best, self.protocol),
        )

    def warm_up(self) -> WarmUp:
        """Send requests one at a time until three windows agree, or the mode's time for it is over."""
        settings = self.protocol.settings
        windows: list[tuple[float, float]] = []
        requests, seconds = 0, 0.0
        while seconds < settings.warm_up_cap_s and not steady(windows):
            load = self.driver.closed(concurrency=1, duration_s=settings.window_s)
            _refuse_silence(load.count(Status.OK), len(load.samples))
            windows.append((load.throughput_rps, percentile(load.ordered_latencies, 50) * 1000))
            requests += len(load.samples)
            seconds += max(load.duration_s, load.samples[-1].done)
        self.progress(f"warm-up: {requests} requests in {seconds:.1f} s, median {windows[-1][1]:.2f} ms")
        return WarmUp(requests=requests, seconds=seconds, windows=tuple(windows), steady=steady(windows))

    def ceiling(self, floor: Point) -> tuple[Point, ...]:
        """Double the concurrency until it brings no more throughput."""
        steps = [floor]
        while steps[-1].concurrency * 2 <= self.protocol.max_concurrency:
            steps.append(self._closed(steps[-1].concurrency * 2, self.protocol.settings.closed_s))
            if steps[-1].throughput_rps < ENOUGH_GAIN * steps[-2].throughput_rps:
                break
        return tuple(steps)

    def find_best(self, ceiling: tuple[Point, ...]) -> tuple[Point | None, Peak | None, str]:
        """Return the point the peak rests on, the peak, and why it is that."""
        top = max(ceiling, key=lambda point: point.throughput_rps)
        if self.protocol.rate is not None:
            return self._at_asked_rate(self.protocol.rate)
        if self.protocol.slo_ms is None:
            return self._without_limit(top)
        return self._within_limit(self.protocol.slo_ms, ceiling[0], top.throughput_rps)

    def _at_asked_rate(self, rate: float) -> tuple[Point | None, Peak | None, str]:
        point = self._open(rate, self.protocol.settings.confirm_s)
        if point.verdict is not None and not point.verdict.met:
            return None, None, point.verdict.reason
        if not point.kept_rate:
            return None, None, f"only {point.achieved_rps:.1f} of {rate:g} requests/s could be sent"
        basis = "the rate asked for; the host may sustain more"
        sustained = point.throughput_rps if point.goodput_rps is None else point.goodput_rps
        return point, Peak(rps=sustained, low_rps=sustained, high_rps=sustained, basis=basis), basis

    def _without_limit(self, top: Point) -> tuple[Point | None, Peak | None, str]:
        shown = [self._open(share * top.throughput_rps) for share in UNLIMITED_SHARES]
        low, high = _spread(top)
        basis = f"closed-loop ceiling at {top.concurrency} requests under way; no latency limit was given"
        best = next((point for point in reversed(shown) if point.kept_rate), None)
        return best, Peak(rps=top.throughput_rps, low_rps=low, high_rps=high, basis=basis), basis

    def _within_limit(
        self, slo_ms: float, floor: Point, top_rps: float
    ) -> tuple[Point | None, Peak | None, str]:
        median = floor.quantile(50)
        if median is not None and median.value_ms is not None and median.value_ms > slo_ms:
            return None, None, f"even one request at a time takes {median.value_ms:.1f} ms (median)"
        bracket = self._search(top_rps)
        if bracket.low is None:
            verdict = self.points[-1].verdict
            return None, None, f"no rate met the limit: {verdict.reason if verdict else ''}"
        best = self._confirmed(bracket.low)
        if best is None:
            return None, None, f"{bracket.low:.1f} requests/s met the limit once, but not when confirmed"
        sustained = best.goodput_rps or 0.0
        high = max(bracket.high or top_rps, sustained)
        basis = f"goodput within {slo_ms:g} ms under Poisson arrivals"
        peak = Peak(rps=sustained, low_rps=sustained, high_rps=high, basis=basis)
        return best, peak, best.verdict.reason if best.verdict else basis

    def _search(self, top_rps: float) -> Bracket:
        settings = self.protocol.settings
        bounds = Bounds(
            start=FIRST_SHARE * top_rps,
            limit=LAST_SHARE * top_rps,
            tolerance=settings.tolerance,
            probes=settings.probes,
        )
        return find_peak(self._accepts, bounds)

    def _accepts(self, rate: float) -> bool:
        verdict = self._open(rate).verdict
        return verdict is not None and verdict.met

    def _confirmed(self, rate: float) -> Point | None:
        seconds = self.protocol.settings.confirm_s
        if not seconds:
            return max(self._met(), key=lambda point: point.achieved_rps)
        for share in BACK_OFF:
            point = self._open(rate * share, seconds)
            if point.verdict is not None and point.verdict.met:
                return point
        return None

    def _met(self) -> list[Point]:
        return [point for point in self.points if point.verdict is not None and point.verdict.met]

    def _closed(self, concurrency: int, duration_s: float) -> Point:
        point = self._summarise(self.driver.closed(concurrency=concurrency, duration_s=duration_s))
        self.progress(f"closed loop, {concurrency} under way: {point.throughput_rps:.1f} requests/s")
        return point

    def _open(self, rate: float, seconds: float = 0.0) -> Point:
        duration = self.protocol.duration_s or max(seconds, self.protocol.point_duration_s(rate))
        point = self._summarise(self.driver.open(rate=rate, duration_s=duration))
        self.points.append(point)
        outcome = "" if point.verdict is None else f": {point.verdict.reason}"
        self.progress(f"open loop, {rate:.1f} requests/s for {duration:.1f} s{outcome}")
        return point

    def _summarise(self, load: Load) -> Point:
        return summarise(load, self.protocol)


def _refuse_silence(good: int, asked: int) -> None:
    if not good:
        raise MeasurementFailed(
            f"The served model gave no good answer to {asked} requests.",
            "`amazonei invoke --random` shows what it answers.",
        )


def _spread(point: Point) -> tuple[float, float]:
    """Return the lowest and highest throughput of the thirds of a closed-loop point."""
    third = point.duration_s / 3
    good = [sample.done for sample in point.samples if sample.status is Status.OK]
    rates = [sum(i * third <= done < (i + 1) * third for done in good) / third for i in range(3)]
    return min(*rates, point.throughput_rps), max(*rates, point.throughput_rps)


def _warnings(
    warm_up: WarmUp, generator: Generator, best: Point | None, protocol: Protocol
) -> tuple[str, ...]:
    found = []
    if not warm_up.steady:
        found.append("the server had not settled when the warm-up ended")
    if generator.headroom < REQUIRED_HEADROOM:
        found.append(
            f"the load generator is only {generator.headroom:.1f} times as fast as the server; "
            f"{REQUIRED_HEADROOM:g} times is wanted"
        )
    if best is not None and protocol.slo_ms and best.send_lag_p99_ms > 0.1 * protocol.slo_ms:
        found.append(f"one request in a hundred was sent {best.send_lag_p99_ms:.1f} ms late or more")
    return tuple(found)
