"""The highest rate a probe accepts, by doubling and bisection (as LoadGen finds its peak). Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """The highest rate that was accepted and the lowest above it that was not; None where none was seen."""

    low: float | None = None
    high: float | None = None

    def narrow(self, tolerance: float) -> bool:
        """Return whether the two are close enough to stop."""
        return self.low is not None and self.high is not None and self.high <= self.low * (1 + tolerance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Where a search begins, what it never exceeds, and when it stops."""

    start: float
    limit: float
    tolerance: float
    probes: int


def find_peak(accepts: Callable[[float], bool], bounds: Bounds) -> Bracket:
    """Return the bracket around the highest accepted rate, asking at most `bounds.probes` times."""
    bracket = Bracket()
    for _ in range(bounds.probes):
        rate = _next_rate(bracket, bounds)
        if rate is None:
            break
        bracket = replace(bracket, low=rate) if accepts(rate) else replace(bracket, high=rate)
    return bracket


def _next_rate(bracket: Bracket, bounds: Bounds) -> float | None:
    low, high = bracket.low, bracket.high
    if low is None:
        return bounds.start if high is None else high / 2
    if high is None:
        return min(low * 2, bounds.limit) if low < bounds.limit else None
    return None if bracket.narrow(bounds.tolerance) else (low + high) / 2
