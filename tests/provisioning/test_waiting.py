from __future__ import annotations

from itertools import pairwise

import pytest

from provisioning.waiting import HEARTBEAT_S, LONGEST_PAUSE_S, DeadlinePassed, SystemClock, wait_for
from tests.provisioning.declared import StillClock


def test_what_is_there_at_once_is_returned_without_a_pause() -> None:
    clock = StillClock()
    assert wait_for(lambda: 0, deadline_s=1, clock=clock) == 0
    assert clock.pauses == []


def test_pauses_double_up_to_the_longest() -> None:
    clock = StillClock()
    remaining = iter([None] * 7)
    assert wait_for(lambda: next(remaining, "there"), deadline_s=100, clock=clock) == "there"
    assert clock.pauses == [0.25, 0.5, 1.0, 2.0, 4.0, LONGEST_PAUSE_S, LONGEST_PAUSE_S]


def test_the_deadline_ends_the_wait_to_the_second_after_one_last_look() -> None:
    clock = StillClock()
    looks: list[float] = []

    def look() -> None:
        looks.append(clock.now)

    with pytest.raises(DeadlinePassed):
        wait_for(look, deadline_s=12, clock=clock)
    assert clock.now - 1000 == 12
    assert looks[-1] == 1012


def test_a_long_wait_gives_a_sign_of_life_every_half_minute() -> None:
    clock = StillClock()
    beats: list[float] = []
    with pytest.raises(DeadlinePassed):
        wait_for(lambda: None, deadline_s=100, clock=clock, on_heartbeat=beats.append)
    assert len(beats) == 3
    assert all(later - earlier >= HEARTBEAT_S for earlier, later in pairwise(beats))


def test_the_machines_clock_jitters_within_its_bounds() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    clock.sleep(0)
    assert clock.monotonic() >= before
    assert all(1 <= clock.uniform(1, 2) <= 2 for _ in range(50))
