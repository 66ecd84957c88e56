"""Tell how far a transfer is: bytes, rate and the time that is left."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from provisioning.waiting import Clock

_SAY_EVERY_S = 1.0


def size_text(count: int) -> str:
    """Return a number of bytes as people read it, in powers of ten as AWS bills them."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"


class Progress:
    """Counts what several threads have done of `total` bytes, and says it once a second at most."""

    def __init__(self, total: int, clock: Clock, say: Callable[[str], None]) -> None:
        self._total, self._clock, self._say = total, clock, say
        self._done = 0
        self._began = self._said = clock.monotonic()
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Note that so many more bytes are done."""
        with self._lock:
            self._done += count
            now = self._clock.monotonic()
            if now - self._said < _SAY_EVERY_S:
                return
            self._said = now
            done = min(self._done, self._total)  # what is sent again after a failure counts twice
            rate = self._done / (now - self._began)
        left_s = (self._total - done) / rate if rate else float("inf")
        self._say(
            f"{done / 1e6:.0f} of {self._total / 1e6:.0f} MB, {rate / 1e6:.0f} MB/s, {left_s:.0f} s left"
        )
