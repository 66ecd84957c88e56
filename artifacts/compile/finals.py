"""Which lane is fastest, on a machine where others work too.

A neighbour works in bursts: for some seconds everything takes longer, by about the same factor. So lanes are
timed in rounds, one after another, and compared within a round. A burst that begins or ends within a round
makes it longer than a calm one; the rounds that took least, and about the same, are believed.
"""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Times = Mapping[str, float]  # by lane, in one unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How long to go on, and what is believed."""

    # How far above a round's fastest a lane may be, by how often it was compared: the least counts, so that
    # no lane is given up for one comparison that may have met the edge of a burst.
    reach: tuple[float, ...] = (3.0, 2.0, 1.5, 1.25, 1.1)
    agreement: float = 1.01  # rounds are alike when they took the same up to this factor
    calm: int = 2  # so many rounds alike end the race
    rounds: int = 12
    seconds: float = 120.0  # no timing begins later


DEFAULT = Rules()


def settle(
    first: Times,
    again: Callable[[str], float],
    rules: Rules = DEFAULT,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, float]:
    """Return the time of each lane, the fastest's the least it ever took, and the others' in proportion.

    `first` has one time of each lane, and `again` takes another.
    """
    rounds: list[Times] = []
    until = clock() + rules.seconds
    while len(rounds) < rules.rounds:
        live = _live([first, *rounds], rules)
        if len(live) < 2 or len(_calm(rounds, live, rules)) >= rules.calm:
            break
        order = live if len(rounds) % 2 else live[::-1]  # a drift meets both ends alike
        taken = {name: again(name) for name in order if clock() <= until}
        if len(taken) < len(live):
            break
        rounds.append(taken)
    return _in_proportion(first, rounds, rules)


def _live(comparisons: Sequence[Times], rules: Rules) -> list[str]:
    """Return the lanes within reach of the fastest, as the latest comparison has them."""
    reach = rules.reach[min(len(comparisons), len(rules.reach)) - 1]
    return [name for name in comparisons[-1] if _ratio(comparisons, name) <= reach]


def _ratio(comparisons: Sequence[Times], name: str) -> float:
    """Return how near the lane came to the fastest of a comparison."""
    return min(times[name] / min(times.values()) for times in comparisons if name in times)


def _calm(rounds: Sequence[Times], live: Sequence[str], rules: Rules) -> list[Times]:
    """Return the rounds that took about the least; by the logarithm, in which every lane counts alike."""
    lengths = [sum(math.log(times[name]) for name in live) for times in rounds]
    limit = min(lengths, default=0.0) + math.log(rules.agreement) * len(live)
    return [times for times, length in zip(rounds, lengths, strict=True) if length <= limit]


def _in_proportion(first: Times, rounds: Sequence[Times], rules: Rules) -> dict[str, float]:
    comparisons = [first, *rounds]
    live = [name for name in comparisons[-1] if name in _live(comparisons, rules)]
    calm = _calm(rounds, live, rules) or [first]
    middle = {name: statistics.median(times[name] / times[live[0]] for times in calm) for name in live}
    leader = min(live, key=middle.__getitem__)
    least = min(times[leader] for times in comparisons)
    ratios = {name: _ratio(comparisons, name) for name in first}  # of those given up
    ratios |= {name: middle[name] / middle[leader] for name in live}
    return {name: least * ratio for name, ratio in ratios.items()}
