"""The one loop that waits for AWS: full jitter, a deadline, a heartbeat; time and chance are injected."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# The first looks come quickly, because an update without changes or an emulated stack is done at once;
# the later ones at most five seconds apart, as the CDK's own stack monitor does.
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0
HEARTBEAT_S = 30.0


class Clock(Protocol):
    """Time and chance: what a test must hold still."""

    def monotonic(self) -> float:
        """Return seconds that only ever grow."""

    def sleep(self, seconds: float) -> None:
        """Let the seconds pass."""

    def uniform(self, low: float, high: float) -> float:
        """Return a number between the two."""


class SystemClock:
    """The machine's clock."""

    def __init__(self) -> None:
        self._random = random.Random()  # noqa: S311 (jitter, not a secret)

    def monotonic(self) -> float:
        """Return seconds that only ever grow."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let the seconds pass."""
        time.sleep(seconds)

    def uniform(self, low: float, high: float) -> float:
        """Return a number between the two."""
        return self._random.uniform(low, high)


class DeadlinePassed(Exception):
    """What was waited for did not happen in time; the caller knows what that means and translates it."""


def wait_for(
    look: Callable[[], T | None],
    *,
    deadline_s: float,
    clock: Clock,
    on_heartbeat: Callable[[float], None] | None = None,
    overshoot: float | None = None,
) -> T:
    """Look again and again until the answer is not None, and return it.

    The pauses grow with full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    With `overshoot`, no pause is longer than that share of what was waited so far, so the answer is at
    most that much late. `on_heartbeat` is called every `HEARTBEAT_S` with the seconds waited.
    Raises `DeadlinePassed`.
    """
    started = clock.monotonic()
    next_heartbeat = started + HEARTBEAT_S
    ceiling = FIRST_PAUSE_S
    while (answer := look()) is None:
        now = clock.monotonic()
        if now - started >= deadline_s:
            raise DeadlinePassed
        if on_heartbeat is not None and now >= next_heartbeat:
            on_heartbeat(now - started)
            next_heartbeat = now + HEARTBEAT_S
        longest = ceiling
        if overshoot is not None:
            longest = min(ceiling, max(FIRST_PAUSE_S, overshoot * (now - started)))
        pause = clock.uniform(longest / 10, longest)
        clock.sleep(min(pause, started + deadline_s - now))
        ceiling = min(2 * ceiling, LONGEST_PAUSE_S)
    return answer
