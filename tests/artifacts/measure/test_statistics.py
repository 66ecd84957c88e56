from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts.measure import statistics

# https://github.com/mlcommons/inference: 662 is MLPerf's own MultiStream minimum, an independent check.
SAMPLE_SIZES = {
    (90.0, 0.99): (44, 64, 81, 127, 197),
    (95.0, 0.99): (90, 130, 165, 259, 398),
    (99.0, 0.99): (459, 662, 838, 1307, 2010),
    (99.9, 0.99): (4603, 6636, 8403, 13105, 20140),
    (90.0, 0.95): (29, 46, 61, 103, 167),
    (95.0, 0.95): (59, 93, 124, 208, 336),
    (99.0, 0.95): (299, 473, 628, 1049, 1693),
    (99.9, 0.95): (2995, 4742, 6294, 10511, 16959),
}
CASES = [
    (percent, confidence, over, size)
    for (percent, confidence), sizes in SAMPLE_SIZES.items()
    for over, size in zip((0, 1, 2, 5, 10), sizes, strict=True)
]
latencies = st.lists(st.floats(min_value=0, max_value=1e3), min_size=1, max_size=300).map(sorted)


@pytest.mark.parametrize(("percent", "confidence", "over", "size"), CASES)
def test_the_table_of_sample_sizes_is_reproduced(
    percent: float, confidence: float, over: int, size: int
) -> None:
    assert statistics.smallest_sample_size(percent, confidence, over) == size


@pytest.mark.parametrize(
    ("percent", "expected"), [(50, 50.0), (90, 90.0), (99, 99.0), (99.9, 100.0), (29, 29.0), (0, 1.0)]
)
def test_a_percentile_is_the_nearest_rank(percent: float, expected: float) -> None:
    assert statistics.percentile([float(i) for i in range(1, 101)], percent) == expected


def test_a_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        statistics.percentile([], 50)


@given(latencies, st.sampled_from([50.0, 90.0, 99.0]))
def test_the_upper_bound_is_a_sample_that_is_never_below_the_percentile(
    ordered: list[float], percent: float
) -> None:
    bound = statistics.upper_bound(ordered, percent, 0.95)
    enough = len(ordered) >= statistics.smallest_sample_size(percent, 0.95)
    assert (bound is not None) == enough
    if bound is not None:
        assert bound in ordered
        assert bound >= statistics.percentile(ordered, percent)


@pytest.mark.parametrize(
    ("n", "over"), [(298, None), (299, 0), (472, 0), (473, 1), (627, 1), (628, 2), (1049, 5)]
)
def test_the_bound_moves_inward_exactly_when_the_table_allows(n: int, over: int | None) -> None:
    ordered = [float(i) for i in range(n)]
    assert statistics.upper_bound(ordered, 99, 0.95) == (None if over is None else ordered[n - 1 - over])


def test_the_bound_covers_the_true_percentile_as_often_as_it_claims() -> None:
    draw = random.Random(7)  # noqa: S311 - not for secrets
    truth = -math.log(0.1)  # p90 of an exponential
    covered = 0
    for _ in range(1000):
        ordered = sorted(draw.expovariate(1.0) for _ in range(200))
        bound = statistics.upper_bound(ordered, 90, 0.95)
        covered += bound is not None and bound >= truth
    assert 935 <= covered <= 985  # at least 95 %, and not uselessly loose


def test_large_sample_sizes_do_not_underflow() -> None:
    ordered = [float(i) for i in range(262_742)]
    bound = statistics.upper_bound(ordered, 99, 0.99)
    assert bound is not None
    assert 99.0 < bound / 262_742 * 100 < 99.06  # MLPerf's 0.05 % margin at this size


@pytest.mark.parametrize(
    ("n", "over", "expected"),
    [(100, 0, False), (100, 3, False), (100, 5, True), (20, 2, True)],
)
def test_a_percentile_is_refuted_only_by_more_violations_than_chance_explains(
    n: int, over: int, expected: bool
) -> None:
    assert statistics.refuted(n, over, 99, 0.95) is expected


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        ([(100, 5), (100, 5)], False),
        ([(100, 5), (105, 5.2), (109, 5.4)], True),
        ([(100, 5), (105, 5.2), (111, 5.4)], False),
        ([(100, 5), (100, 5), (100, 5.6)], False),
        ([(1, 99), (100, 5), (100, 5), (100, 5)], True),
        ([(0, 5), (0, 5), (0, 5)], False),
    ],
)
def test_steady_means_three_windows_within_ten_percent_on_both(
    windows: list[tuple[float, float]], expected: bool
) -> None:
    assert statistics.steady(windows) is expected
