"""Which lane is fastest, on a machine where others work too, and where no two loads are quite alike.

A neighbour works in bursts: for some seconds everything takes longer, by about the same factor. So lanes are
timed in rounds, one after another: by what all lanes of a round took longer, the neighbour slowed it. What is
left is a lane's own: where its memory came to lie decides over some lanes by a tenth and more, for as long as
the process lives. A host gets the usual time and not the luckiest, so a lane's median counts.
"""

from __future__ import annotations

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
    agreement: float = 1.01  # times are alike up to this factor
    alike: int = 3  # of each lane: so many times near its median end the race,
    share: float = 0.8  # where they are this share of all
    rounds: int = 12
    seconds: float = 120.0  # no timing begins later


DEFAULT = Rules()


def settle(
    first: Times,
    again: Callable[[str], float],
    rules: Rules = DEFAULT,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, float]:
    """Return the usual time of each lane on a calm machine; of those given up, in proportion to the fastest.

    `first` has one time of each lane, and `again` loads one anew and takes another.
    """
    rounds: list[Times] = []
    until = clock() + rules.seconds
    while len(rounds) < rules.rounds:
        live = _live([first, *rounds], rules)
        if len(live) < 2 or _settled(evened(rounds, live, first), rules):
            break
        order = live if len(rounds) % 2 else live[::-1]  # a drift meets both ends alike
        taken = {name: again(name) for name in order if clock() <= until}
        if len(taken) < len(live):
            break
        rounds.append(taken)
    return _usual(first, rounds, rules)


def _live(comparisons: Sequence[Times], rules: Rules) -> list[str]:
    """Return the lanes within reach of the fastest, as the latest comparison has them."""
    reach = rules.reach[min(len(comparisons), len(rules.reach)) - 1]
    return [name for name in comparisons[-1] if _ratio(comparisons, name) <= reach]


def _ratio(comparisons: Sequence[Times], name: str) -> float:
    """Return how near the lane came to the fastest of a comparison."""
    return min(times[name] / min(times.values()) for times in comparisons if name in times)


def evened(
    rounds: Sequence[Times], live: Sequence[str], first: Times | None = None
) -> dict[str, list[float]]:
    """Return the lanes' times of each round, less what slowed the whole round.

    `first` are times of another occasion, with which a slowed round is compared, too.
    """
    known = rounds if first is None else (first, *rounds)
    least = {name: min(times[name] for times in known) for name in live}
    slowed = [min(times[name] / least[name] for name in live) for times in rounds]
    return {
        name: [times[name] / factor for times, factor in zip(rounds, slowed, strict=True)] for name in live
    }


def _settled(times: Mapping[str, Sequence[float]], rules: Rules) -> bool:
    """Return whether each lane took about the same, but for the edges of bursts."""
    return all(_alike(each, rules) >= max(rules.alike, rules.share * len(each)) for each in times.values())


def _alike(times: Sequence[float], rules: Rules) -> int:
    if not times:
        return 0
    usual = statistics.median(times)
    return sum(usual / rules.agreement <= each <= usual * rules.agreement for each in times)


def _usual(first: Times, rounds: Sequence[Times], rules: Rules) -> dict[str, float]:
    comparisons = [first, *rounds]
    live = [name for name in comparisons[-1] if name in _live(comparisons, rules)]
    times = evened(rounds, live, first) if rounds else {name: [first[name]] for name in live}
    middle = {name: statistics.median(each) for name, each in times.items()}
    least = min(middle.values())
    return {name: least * _ratio(comparisons, name) for name in first} | middle
