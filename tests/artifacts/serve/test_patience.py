"""Waiting awake: only for requests that come soon, and never where somebody else wants the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field

from artifacts.serve.patience import _BACK_OFF, _STEADY, Patience, preemptions

# Of a clock that counts looks.
_LONGEST, _SOON, _LATE = 50, 25, 1000


@dataclass
class World:
    """A clock, requests that come so long after each wait began, and what was asked of `epoll`."""

    now: float = 0
    preempted: int = 0
    comes: float = 0
    asleep: int = 0
    awake: int = 0
    patience: Patience = field(init=False)

    def __post_init__(self) -> None:
        self.patience = Patience(_LONGEST, lambda: self.now, lambda: self.preempted)

    def look(self, seconds: float) -> list[str]:
        if seconds:
            self.asleep += 1
            self.now = min(self.comes, self.now + seconds)
        else:
            self.awake += 1
            self.now += 1
        return ["request"] if self.now >= self.comes else []

    def wait(self, gap: float, timeout: float = 5000) -> tuple[bool, int, int]:
        """Wait for a request that comes after this gap: whether it came, and how often was looked how."""
        self.asleep = self.awake = 0
        self.comes = self.now + gap
        return bool(self.patience.wait(self.look, timeout)), self.asleep, self.awake


def test_requests_that_keep_coming_soon_are_waited_for_awake() -> None:
    world = World()
    for _ in range(_STEADY):
        assert world.wait(_SOON) == (True, 1, 0)
    for _ in range(100):
        assert world.wait(_SOON) == (True, 0, _SOON)


def test_a_request_that_comes_late_is_slept_for_and_so_is_the_next() -> None:
    world = World()
    for _ in range(_STEADY):
        world.wait(_SOON)
    assert world.wait(_LATE) == (True, 1, _LONGEST)
    for _ in range(10):
        assert world.wait(_LATE) == (True, 1, 0)


def test_nothing_is_waited_for_awake_for_a_while_after_somebody_else_wanted_the_cpu() -> None:
    world = World()
    for _ in range(_STEADY):
        world.wait(_SOON)
    world.preempted += 1
    for _ in range(_BACK_OFF + _STEADY):
        assert world.wait(_SOON) == (True, 1, 0)
    assert world.wait(_SOON) == (True, 0, _SOON)


def test_a_wait_without_a_request_ends_with_its_time_out() -> None:
    world = World()
    for _ in range(_STEADY):
        world.wait(_SOON)
    began = world.now
    assert world.wait(_LATE, timeout=100) == (False, 1, _LONGEST)
    assert world.now == began + _LONGEST + 100


def test_the_kernel_counts_how_often_a_thread_shares_its_cpu_with_somebody_else() -> None:
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    try:
        with subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) as other:
            before, deadline = preemptions(), time.monotonic() + 30
            while preemptions() == before and time.monotonic() < deadline:
                pass
            after = preemptions()
            other.kill()
    finally:
        os.sched_setaffinity(0, cpus)
    assert after > before
