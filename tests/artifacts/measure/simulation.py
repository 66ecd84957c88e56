"""A server that exists only in virtual time, and a clock that moves only when told."""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass, field

from artifacts.measure.load import Load, Sample, Status, poisson_arrivals


@dataclass
class SimulatedServer:
    """A queue before `servers` workers; a driver whose loads take no real time."""

    service_s: float
    servers: int = 2
    jitter: float = 0.05
    failing_from: float = float("inf")  # requests/s above which every tenth request fails
    broken: bool = False
    settling: float = 0.0  # each load is this share faster than the one before
    loads: list[Load] = field(default_factory=list)

    def open(self, *, rate: float, duration_s: float) -> Load:
        arrivals = poisson_arrivals(rate, duration_s, seed=1)
        free = [0.0] * self.servers
        samples = []
        draw = random.Random(rate)  # noqa: S311 - not for secrets
        for index, at in enumerate(arrivals):
            begin = max(at, heapq.heappop(free))
            done = begin + self._service(draw)
            heapq.heappush(free, done)
            failed = self.broken or (rate >= self.failing_from and index % 10 == 0)
            samples.append(Sample(at, at, done, Status.FAILED if failed else Status.OK))
        return self._record(
            Load(asked_rps=rate, concurrency=32, duration_s=duration_s, samples=tuple(samples))
        )

    def closed(self, *, concurrency: int, duration_s: float) -> Load:
        free = [0.0] * self.servers
        ready = [0.0] * concurrency
        samples = []
        draw = random.Random(concurrency)  # noqa: S311 - not for secrets
        for _ in itertools.count():
            at = heapq.heappop(ready)
            if at >= duration_s:
                break
            done = max(at, heapq.heappop(free)) + self._service(draw)
            heapq.heappush(free, done)
            heapq.heappush(ready, done)
            samples.append(Sample(at, at, done, Status.FAILED if self.broken else Status.OK))
        return self._record(
            Load(asked_rps=None, concurrency=concurrency, duration_s=duration_s, samples=tuple(samples))
        )

    def _service(self, draw: random.Random) -> float:
        settled = self.service_s * (1 - self.settling) ** len(self.loads)
        return settled * draw.uniform(1 - self.jitter, 1 + self.jitter)

    def _record(self, load: Load) -> Load:
        self.loads.append(load)
        return load


class FakeTime:
    """A clock that only moves when someone sleeps or a request takes its time."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds
