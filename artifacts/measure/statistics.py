"""What a set of latencies lets one claim: percentiles, their confidence bounds, and steadiness. Pure.

Percentiles come from pooled raw samples and are never averaged. A failed request is an infinite latency.
The bounds are distribution-free order statistics; they assume independent samples, which queueing makes
optimistic, so sample sizes are floors and repeats still matter.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STEADY_SPREAD = 1.10  # perf_analyzer's rule: the last three windows agree within 10 %
STEADY_WINDOWS = 3


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the smallest sample that at least `percent` of the ascending samples do not exceed."""
    if not ordered:
        raise ValueError("a percentile of no samples")
    rank = math.ceil(percent / 100 * len(ordered) - 1e-9)  # 0.29 * 100 is 28.999999999999996
    return ordered[max(rank, 1) - 1]


def smallest_sample_size(percent: float, confidence: float, over: int = 0) -> int:
    """Return how many samples support "the percentile is below the bound" with `over` of them above it."""
    low, high = over + 1, over + 2
    while not _supports(high, over, percent, confidence):
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        if _supports(middle, over, percent, confidence):
            high = middle
        else:
            low = middle + 1
    return low


def upper_bound(ordered: Sequence[float], percent: float, confidence: float) -> float | None:
    """Return the sample below which the true percentile lies with this confidence.

    None means insufficient samples: not even the largest one bounds the percentile.
    """
    allowed = -1
    for over, cumulative in enumerate(_cumulative(len(ordered), 1 - percent / 100)):
        if cumulative > 1 - confidence:
            break
        allowed = over
    return None if allowed < 0 else ordered[len(ordered) - 1 - allowed]


def refuted(n: int, over: int, percent: float, confidence: float) -> bool:
    """Return whether `over` of `n` samples above a limit disprove that the percentile is within it."""
    if over == 0:
        return False
    below = sum(_terms(n, 1 - percent / 100, over - 1))
    return 1 - below < 1 - confidence


def steady(windows: Sequence[tuple[float, float]]) -> bool:
    """Return whether the last three windows of (throughput, latency) agree within 10 % on both."""
    if len(windows) < STEADY_WINDOWS:
        return False
    return all(_agree(values) for values in zip(*windows[-STEADY_WINDOWS:], strict=True))


def _agree(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) <= STEADY_SPREAD * min(values)


def _supports(n: int, over: int, percent: float, confidence: float) -> bool:
    return over < n and sum(_terms(n, 1 - percent / 100, over)) <= 1 - confidence


def _cumulative(n: int, chance: float) -> Iterator[float]:
    """Yield Binomial(n, chance) CDF(0), CDF(1), … ."""
    total = 0.0
    for term in _terms(n, chance, n - 1):
        total += term
        yield total


def _terms(n: int, chance: float, last: int) -> Iterator[float]:
    """Yield Binomial(n, chance) probabilities of 0 … `last`, in logarithms: large n would underflow."""
    for k in range(min(last, n) + 1):
        ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        yield math.exp(ways + k * math.log(chance) + (n - k) * math.log1p(-chance))
