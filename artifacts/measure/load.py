"""Load on a server, with three timestamps per request: scheduled, sent and done.

Latency counts from the scheduled time, so a generator that falls behind shows up in the latency instead
of hiding it (coordinated omission: https://github.com/giltene/wrk2#acknowledgements). Arrivals are drawn
before the first request is sent, from a seed.
"""

from __future__ import annotations

import math
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from artifacts.measure.statistics import percentile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

DRAIN_S = 1.0  # how long after the last arrival a late request may still be sent
PAUSE_AFTER_FAILURE_S = 0.02  # a refused connection answers at once; do not spin on it
LEAD_S = 0.05  # the workers are up before the first arrival is due


class Status(str, Enum):  # noqa: UP042 - hosts run Python 3.10
    """How a request ended."""

    OK = "ok"
    FAILED = "failed"
    UNSENT = "unsent"  # still waiting for a free connection when the run was over


class Sample(NamedTuple):
    """One request; times are seconds since the run began."""

    scheduled: float
    sent: float
    done: float
    status: Status

    @property
    def latency(self) -> float:
        """Seconds from when the request should have been sent; infinite when it got no good answer."""
        return self.done - self.scheduled if self.status is Status.OK else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One run of load and everything it observed."""

    asked_rps: float | None  # None for a closed loop
    concurrency: int
    duration_s: float
    samples: tuple[Sample, ...]

    def count(self, status: Status) -> int:
        """Return how many requests ended this way."""
        return sum(sample.status is status for sample in self.samples)

    @property
    def ordered_latencies(self) -> tuple[float, ...]:
        """Every latency in ascending seconds, failures last as infinite."""
        return tuple(sorted(sample.latency for sample in self.samples))

    @property
    def throughput_rps(self) -> float:
        """Good answers per second."""
        end = max((sample.done for sample in self.samples), default=0.0)
        return self.count(Status.OK) / max(self.duration_s, end)

    @property
    def achieved_rps(self) -> float:
        """Requests sent per second, to hold against the rate asked for."""
        sent = [sample.sent for sample in self.samples if sample.status is not Status.UNSENT]
        return len(sent) / max([self.duration_s, *sent])

    @property
    def send_lag_s(self) -> float:
        """How late the slowest percent of requests was sent (p99), in seconds."""
        lags = sorted(sample.sent - sample.scheduled for sample in self.samples)
        return percentile(lags, 99) if lags else 0.0

    def goodput_rps(self, limit_s: float) -> float:
        """Return good answers per second that came within the limit."""
        return sum(latency <= limit_s for latency in self.ordered_latencies) / self.duration_s


class Connection(Protocol):
    """A persistent connection to the server."""

    def post(self, payload: bytes) -> bool:
        """Send one request and return whether a good answer came in time."""

    def close(self) -> None:
        """End the connection."""


class Driver(Protocol):
    """Something that can put load on a server."""

    def closed(self, *, concurrency: int, duration_s: float) -> Load:
        """Keep `concurrency` requests under way, each following the last one's answer."""

    def open(self, *, rate: float, duration_s: float) -> Load:
        """Send requests at seeded Poisson arrivals, whatever the answers do."""


def poisson_arrivals(rate: float, duration_s: float, seed: int) -> tuple[float, ...]:
    """Return ascending arrival times of a Poisson process that has `rate * duration_s` arrivals.

    Given their number, Poisson arrivals are sorted uniform ones; fixing the number makes the rate asked
    for exact even in short runs.
    """
    draw = random.Random(f"{seed}/{rate:.6f}/{duration_s:.6f}")  # noqa: S311 - load, not secrets
    number = max(1, round(rate * duration_s))
    return tuple(sorted(draw.uniform(0.0, duration_s) for _ in range(number)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    """The clock a driver reads and the sleep it takes."""

    now: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadedDriver:
    """Load from one thread per connection; payloads are drawn uniformly with replacement."""

    connect: Callable[[], Connection]
    payloads: Sequence[bytes]
    seed: int
    max_concurrency: int
    time: Time = Time()

    def closed(self, *, concurrency: int, duration_s: float) -> Load:
        """Keep `concurrency` requests under way for the duration."""
        start = self.time.now()

        def work(connection: Connection, draw: random.Random) -> Iterator[Sample]:
            while (sent := self.time.now() - start) < duration_s:
                yield self._exchange(connection, draw, start=start, scheduled=sent)

        samples = self._run(concurrency, work)
        return Load(asked_rps=None, concurrency=concurrency, duration_s=duration_s, samples=samples)

    def open(self, *, rate: float, duration_s: float) -> Load:
        """Send requests at Poisson arrivals; those not sent soon after the end count as unsent."""
        arrivals = poisson_arrivals(rate, duration_s, self.seed)
        waiting = iter(arrivals)
        lock = threading.Lock()
        start = self.time.now() + LEAD_S

        def work(connection: Connection, draw: random.Random) -> Iterator[Sample]:
            while True:
                with lock:
                    scheduled = next(waiting, None)
                if scheduled is None:
                    return
                late = self.time.now() - start
                if late > duration_s + DRAIN_S:
                    yield Sample(scheduled, late, late, Status.UNSENT)
                    continue
                if scheduled > late:
                    self.time.sleep(scheduled - late)
                yield self._exchange(connection, draw, start=start, scheduled=scheduled)

        workers = min(self.max_concurrency, len(arrivals))
        samples = self._run(workers, work)
        return Load(asked_rps=rate, concurrency=workers, duration_s=duration_s, samples=samples)

    def _run(
        self, workers: int, work: Callable[[Connection, random.Random], Iterator[Sample]]
    ) -> tuple[Sample, ...]:
        def one(index: int) -> list[Sample]:
            connection = self.connect()
            try:
                draw = random.Random(f"{self.seed}/{index}")  # noqa: S311 - load, not secrets
                return list(work(connection, draw))
            finally:
                connection.close()

        with ThreadPoolExecutor(max_workers=workers) as pool:
            return tuple(sorted(sample for samples in pool.map(one, range(workers)) for sample in samples))

    def _exchange(
        self, connection: Connection, draw: random.Random, *, start: float, scheduled: float
    ) -> Sample:
        payload = draw.choice(self.payloads)
        sent = self.time.now() - start
        good = connection.post(payload)
        done = self.time.now() - start
        if not good:
            self.time.sleep(PAUSE_AFTER_FAILURE_S)
        return Sample(scheduled, sent, done, Status.OK if good else Status.FAILED)
