"""A fleet in simulated time: hosts that take their time, a Systems Manager that keeps so many busy at once.

As documented, the next host begins as soon as one ends; tags are resolved at once; every call takes a
while, and a page of a list holds 50 hosts.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioning.emulator.waves import RateControl
from tests.provisioning.declared import StillClock
from tests.provisioning.declared_hosts import DeclaredSsm
from tests.provisioning.operated import TAGS, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from provisioning.aws.ssm import CommandRequest, InvocationRecord

CALL_S = 0.15  # a call to AWS from a laptop


class JitteryClock(StillClock):
    """A clock that moves only when somebody sleeps; chance is that of a seed."""

    def __init__(self) -> None:
        super().__init__()
        self._random = random.Random(0)  # noqa: S311 - simulated

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)


class WaveSsm(DeclaredSsm):
    """Runs each host for its own seconds, at most `MaxConcurrency` of them at once."""

    def __init__(self, clock: StillClock, seconds: dict[str, float]) -> None:
        super().__init__()
        self._clock = clock
        self._seconds = seconds
        self.spans: dict[str, tuple[float, float]] = {}
        self.looks = 0
        for name in seconds:
            self.declare_agent(name)

    def send_command(self, request: CommandRequest) -> str:
        at_once = RateControl(max_concurrency=request.max_concurrency).at_once(len(self._seconds))
        free = [self._clock.now] * at_once
        for name, seconds in self._seconds.items():
            began = heapq.heappop(free)
            self.spans[name] = (began, began + seconds)
            heapq.heappush(free, began + seconds)
        return super().send_command(request)

    def invocations(self, command_id: str) -> tuple[InvocationRecord, ...]:
        self.looks += 1
        for name, (began, ended) in self.spans.items():
            states = ("Pending", "InProgress", "Success")
            self.walks[name] = [states[(self._clock.now >= began) + (self._clock.now >= ended)]]
        return super().invocations(command_id)

    def _paged(self, hosts: int) -> None:
        super()._paged(hosts)
        self._clock.now += CALL_S * max(1, -(-hosts // 50))

    @property
    def busiest(self) -> int:
        """How many hosts were busy at the same time, at most."""
        starts = [(began, 1) for began, _ in self.spans.values()]
        ends = [(ended, -1) for _, ended in self.spans.values()]
        busy = most = 0
        for _, change in sorted(starts + ends):
            busy += change
            most = max(most, busy)
        return most


@dataclass(frozen=True, slots=True)
class FleetRun:
    """What a command to a fleet took."""

    hosts: int
    wave: int
    host_s: float  # the slowest host
    wall_s: float
    looks: int
    busiest: int
    calls: Counter[str]

    @property
    def bound_s(self) -> float:
        """The seconds that the waves take when nothing else takes any."""
        return -(-self.hosts // self.wave) * self.host_s

    @property
    def ratio(self) -> float:
        """The wall time over the bound."""
        return self.wall_s / self.bound_s


def run_fleet(hosts: int, host_s: float, work: Callable[[World], object], spread: float = 0.0) -> FleetRun:
    """Do some work on a fleet whose hosts take `host_s`, or up to `spread` of it less."""
    clock, world = JitteryClock(), World()
    draw = random.Random(1)  # noqa: S311 - simulated
    seconds = {f"i-{number:03}": host_s * (1 - spread * draw.random()) for number in range(hosts)}
    world.declared.ec2.hosts.clear()
    for name in seconds:
        world.declared.ec2.declare_host(name, TAGS)
    ssm = WaveSsm(clock, seconds)
    world.declared.aws.ssm = ssm
    world.answers({"ok": True, "changed": True})
    world.calls = world.with_hosts(clock)
    began = clock.now
    work(world)
    return FleetRun(
        hosts=hosts,
        wave=int(ssm.sent[0].max_concurrency),
        host_s=max(seconds.values()),
        wall_s=clock.now - began,
        looks=ssm.looks,
        busiest=ssm.busiest,
        calls=Counter(ssm.calls),
    )
