from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from artifacts.measure.search import Bounds, Bracket, find_peak


def search(truth: float, bounds: Bounds) -> tuple[Bracket, list[float]]:
    asked: list[float] = []

    def accepts(rate: float) -> bool:
        asked.append(rate)
        return rate <= truth

    return find_peak(accepts, bounds), asked


def test_it_doubles_until_refused_and_then_bisects() -> None:
    bracket, asked = search(110, Bounds(start=30, limit=1000, tolerance=0.05, probes=10))
    assert asked == [30, 60, 120, 90, 105, 112.5, 108.75]
    assert bracket == Bracket(low=108.75, high=112.5)


def test_it_halves_when_even_the_first_rate_is_refused() -> None:
    bracket, asked = search(10, Bounds(start=64, limit=1000, tolerance=0.3, probes=6))
    assert asked == [64, 32, 16, 8, 12, 10]
    assert bracket == Bracket(low=10, high=12)


def test_it_never_exceeds_its_limit_and_says_that_nothing_was_refused() -> None:
    bracket, asked = search(1e9, Bounds(start=50, limit=120, tolerance=0.05, probes=10))
    assert asked == [50, 100, 120]
    assert bracket == Bracket(low=120, high=None)


def test_nothing_accepted_leaves_no_lower_end() -> None:
    bracket, asked = search(0, Bounds(start=8, limit=100, tolerance=0.05, probes=3))
    assert asked == [8, 4, 2]
    assert bracket == Bracket(low=None, high=2)


@given(st.floats(1, 1e4), st.floats(1, 1e4), st.integers(0, 30))
def test_the_truth_is_always_inside_the_bracket(truth: float, start: float, probes: int) -> None:
    bracket, asked = search(truth, Bounds(start=start, limit=2e4, tolerance=0.05, probes=probes))
    assert len(asked) <= probes
    assert bracket.low is None or bracket.low <= truth
    assert bracket.high is None or bracket.high > truth
