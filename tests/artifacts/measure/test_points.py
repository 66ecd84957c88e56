from __future__ import annotations

import pytest

from artifacts.measure.load import Load, Sample, Status
from artifacts.measure.points import FAILURES, INSUFFICIENT, Point, summarise
from artifacts.measure.protocol import Mode, Protocol

QUICK = Protocol(slo_ms=20, percentile=99)


def an_open_load(*latencies_ms: float, failed: int = 0, unsent: int = 0) -> Load:
    """One request every 10 ms, then the failed ones, then those never sent."""
    number = len(latencies_ms) + failed + unsent
    samples = []
    for index, latency_ms in enumerate(latencies_ms):
        at = index / 100
        samples.append(Sample(at, at, at + latency_ms / 1000, Status.OK))
    for index in range(len(latencies_ms), number):
        status = Status.FAILED if index < number - unsent else Status.UNSENT
        samples.append(Sample(index / 100, index / 100, index / 100, status))
    return Load(asked_rps=100, concurrency=4, duration_s=number / 100, samples=tuple(samples))


def verdict_of(point: Point) -> tuple[bool, str]:
    assert point.verdict is not None
    return point.verdict.met, point.verdict.reason


def test_enough_fast_answers_meet_the_limit() -> None:
    met, reason = verdict_of(summarise(an_open_load(*[5.0] * 100), QUICK))
    assert met
    assert reason == "p90 is below the limit at 95% confidence"


def test_a_percentile_just_below_the_limit_does_not_meet_it_when_its_bound_is_above() -> None:
    point = summarise(an_open_load(*[5.0] * 92, *[30.0] * 8), QUICK)
    p90 = point.quantile(90)
    assert p90 is not None
    assert p90.value_ms == pytest.approx(5)
    assert p90.upper_ms == pytest.approx(30)
    assert verdict_of(point) == (False, "p90 is not below the limit at 95% confidence (8 over)")


def test_a_quick_p90_does_not_hide_that_the_p99_asked_for_is_disproved() -> None:
    met, reason = verdict_of(summarise(an_open_load(*[5.0] * 195, *[30.0] * 6), QUICK))
    assert not met
    assert reason == "6 of 201 over the limit refute p99"


def test_failures_are_violations_like_slow_answers() -> None:
    point = summarise(an_open_load(*[5.0] * 80, failed=20), QUICK)
    assert point.errors == 20
    assert point.goodput_rps == pytest.approx(80)
    assert not verdict_of(point)[0]
    p90 = point.quantile(90)
    assert p90 is not None
    assert (p90.value_ms, p90.state) == (None, FAILURES)


def test_percentiles_are_refused_when_the_rate_was_not_kept() -> None:
    point = summarise(an_open_load(*[5.0] * 98, unsent=2), QUICK)
    assert point.achieved_rps == pytest.approx(98)
    assert not point.kept_rate
    assert point.quantiles == ()
    assert verdict_of(point) == (False, "only 98.0 of the 100.0 requests/s asked were sent")


def test_ninety_nine_percent_of_the_rate_is_enough() -> None:
    point = summarise(an_open_load(*[5.0] * 99, unsent=1), QUICK)
    assert point.kept_rate
    assert point.quantiles


def test_too_few_samples_are_called_that() -> None:
    point = summarise(an_open_load(*[5.0] * 28), QUICK)
    assert [quantile.state for quantile in point.quantiles] == ["ok", *[INSUFFICIENT] * 4]
    assert verdict_of(point) == (False, f"{INSUFFICIENT}: 28 cannot bound p90 at 95%")


def test_standard_mode_asks_for_p99_itself() -> None:
    protocol = Protocol(mode=Mode.STANDARD, slo_ms=20, percentile=99)
    assert not verdict_of(summarise(an_open_load(*[5.0] * 458), protocol))[0]
    assert verdict_of(summarise(an_open_load(*[5.0] * 459), protocol))[0]


def test_a_point_survives_json_without_its_samples() -> None:
    point = summarise(an_open_load(*[5.0] * 100), QUICK)
    document = point.to_json()
    assert "samples" not in document
    assert Point.from_json(document).to_json() == document
