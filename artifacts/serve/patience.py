"""Look for the next request awake, where it will come soon and nobody else wants the CPU.

A client that waits for each answer before it asks again leaves its server idle for a fraction of a
millisecond between two requests. Falling asleep for that and being woken takes as long as a small model, on
a virtual machine above all. Linux waits awake for the same reason before it halts an idle CPU
(https://docs.kernel.org/virt/guest-halt-polling.html), and learns likewise whether that pays.
"""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Found = TypeVar("Found")

LONGEST_S = 0.0005  # to the next request of a client beside the server, its network's way included
_STEADY = 4  # requests in a row that came within it
_BACK_OFF = 64  # waits asleep after somebody else wanted the CPU


def preemptions() -> int:
    """Return how often this thread was made to leave its CPU to somebody else."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw


class Patience:
    """What one thread has learned of how soon its next request comes."""

    def __init__(
        self,
        longest_s: float = LONGEST_S,
        clock: Callable[[], float] = time.perf_counter,
        preemptions: Callable[[], int] = preemptions,
    ) -> None:
        self._longest_s, self._clock, self._preemptions = longest_s, clock, preemptions
        self._seen = preemptions()
        self._soon = 0  # waits in a row that ended in time; below 0: waits that are still to be slept through

    def wait(self, look: Callable[[float], Sequence[Found]], timeout_s: float) -> Sequence[Found]:
        """Return what `look` finds, which sleeps for at most the seconds that it is given."""
        if (seen := self._preemptions()) != self._seen:
            self._seen, self._soon = seen, -_BACK_OFF
        latest = self._clock() + self._longest_s
        found: Sequence[Found] = ()
        if self._soon >= _STEADY:
            while not found and self._clock() < latest:
                found = look(0)
        found = found or look(timeout_s)
        if self._soon < 0 or self._clock() < latest:
            self._soon += 1
        else:
            self._soon = 0
        return found
