"""The SSM agent of one emulated host: takes invocations and runs them one after the other."""

from __future__ import annotations

import threading
from collections import deque
from typing import Protocol


class Work(Protocol):
    """What an agent can be given: something that runs, and that can be told it never will."""

    def run(self) -> None:
        """Do the work; blocks."""

    def abandon(self) -> None:
        """End the work where it is: the host is gone."""


class Agent:
    """Runs what it is given in order, while its host is on."""

    def __init__(self, instance_id: str) -> None:
        self._instance_id = instance_id
        self._changed = threading.Condition()
        self._waiting: deque[Work] = deque()
        self._current: Work | None = None
        self._generation = 0  # a worker belongs to one period of power; a later one outdates it
        self._on = False

    @property
    def on(self) -> bool:
        """Return whether work that is submitted now will run."""
        return self._on

    def start(self) -> None:
        """Begin to run work."""
        with self._changed:
            self._generation += 1
            self._on = True
            generation = self._generation
        name = f"agent-{self._instance_id}"
        threading.Thread(target=self._work, args=(generation,), name=name, daemon=True).start()

    def submit(self, work: Work) -> None:
        """Queue the work; work for a host that is off is abandoned at once."""
        with self._changed:
            if self._on:
                self._waiting.append(work)
                self._changed.notify()
                return
        work.abandon()

    def stop(self) -> None:
        """Abandon the current and all waiting work."""
        with self._changed:
            self._on = False
            orphans = [*([self._current] if self._current else []), *self._waiting]
            self._waiting.clear()
            self._changed.notify_all()
        for work in orphans:
            work.abandon()

    def _work(self, generation: int) -> None:
        while (work := self._next(generation)) is not None:
            work.run()

    def _next(self, generation: int) -> Work | None:
        with self._changed:
            self._current = None
            self._changed.wait_for(lambda: self._waiting or self._outdated(generation))
            if self._outdated(generation):
                return None
            self._current = self._waiting.popleft()
            return self._current

    def _outdated(self, generation: int) -> bool:
        return not self._on or generation != self._generation
