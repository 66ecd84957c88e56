"""Emulated load balancers: listeners on the loopback that speak TLS and send to hosts in rotation only.

Health is what each host's own health port answers; requests go one by one to the healthy host with the least
to do, and to all hosts where none is healthy, as AWS does it:
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html
"""

from __future__ import annotations

import http.client
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

LOOPBACK = "127.0.0.1"
PERIOD_S = 0.25
INITIAL, HEALTHY, UNHEALTHY, DRAINING = "initial", "healthy", "unhealthy", "draining"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """How hosts are asked whether they are well, and where requests go."""

    port: int  # of requests
    health_port: int
    path: str
    interval_s: float
    timeout_s: float
    healthy_after: int
    unhealthy_after: int
    drain_s: float  # how long a host that leaves may finish what it has


@dataclass(slots=True, kw_only=True)
class Target:
    """One registered host: its state, and how much it has to do."""

    address: str
    state: str = INITIAL
    streak: int = 0  # answers in a row that speak against the state
    asked_at: float = float("-inf")
    outstanding: int = 0

    def hear(self, check: Check, *, well: bool) -> None:
        """Take an answer in; a new host's first good one is enough."""
        if self.state == DRAINING:
            return
        self.streak = 0 if well == (self.state == HEALTHY) and self.state != INITIAL else self.streak + 1
        if well and self.streak >= (1 if self.state == INITIAL else check.healthy_after):
            self.state, self.streak = HEALTHY, 0
        elif not well and self.streak >= check.unhealthy_after:
            self.state, self.streak = UNHEALTHY, 0


@dataclass(slots=True)
class TargetGroup:
    """The hosts of one target group."""

    check: Check
    targets: dict[str, Target] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _turn: int = 0

    def keep(self, addresses: Mapping[str, str]) -> None:
        """Register the hosts that are there, by instance id, and forget those that are gone."""
        with self._lock:
            for name in self.targets.keys() - addresses.keys():
                del self.targets[name]
            for name in addresses.keys() - self.targets.keys():
                self.targets[name] = Target(address=addresses[name])

    def ask(self, now: float, probe: Callable[[Target, Check], bool]) -> None:
        """Ask those whose turn it is."""
        for target in list(self.targets.values()):
            if now - target.asked_at >= self.check.interval_s:
                target.asked_at = now
                target.hear(self.check, well=probe(target, self.check))

    @contextmanager
    def chosen(self) -> Iterator[Target | None]:
        """Give the host that a request goes to, counted as busy for as long; None where there is none."""
        with self._lock:
            target = self._choose()
            if target is not None:
                target.outstanding += 1
        try:
            yield target
        finally:
            if target is not None:
                with self._lock:
                    target.outstanding -= 1

    def _choose(self) -> Target | None:
        there = [target for target in self.targets.values() if target.state != DRAINING]
        able = [target for target in there if target.state == HEALTHY] or there
        if not able:
            return None
        self._turn += 1  # among equals in turn
        turned = able[self._turn % len(able) :] + able[: self._turn % len(able)]
        return min(turned, key=lambda target: target.outstanding)

    def drain(self, name: str) -> None:
        """Send nothing more to a host, and wait until it has answered what it has."""
        target = self.targets.get(name)
        if target is None:
            return
        target.state = DRAINING
        deadline = time.monotonic() + self.check.drain_s
        while target.outstanding and time.monotonic() < deadline:
            time.sleep(0.05)


def probe(target: Target, check: Check) -> bool:
    """Return whether a host says that it is well."""
    connection = http.client.HTTPConnection(target.address, check.health_port, timeout=check.timeout_s)
    try:
        connection.request("GET", check.path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class Balancing:
    """The target groups of one emulator, asked all the time, and the sockets of its load balancers."""

    def __init__(self) -> None:
        self._groups: dict[str, TargetGroup] = {}
        self._sockets: dict[str, socket.socket] = {}
        self._closing: dict[str, Callable[[], None]] = {}
        self._ended = threading.Event()

    def start(self, registered: Callable[[], Mapping[str, Mapping[str, str]]]) -> None:
        """Ask hosts until the end; `registered` gives the addresses by target group and instance id."""

        def run() -> None:
            while not self._ended.wait(PERIOD_S):
                for arn, addresses in registered().items():
                    if arn in self._groups:
                        self._groups[arn].keep(addresses)
                for group in list(self._groups.values()):
                    group.ask(time.monotonic(), probe)

        threading.Thread(target=run, name="health", daemon=True).start()

    def end(self) -> None:
        """Ask nobody any more, and close every listener."""
        self._ended.set()
        for name in list(self._sockets):
            self.release(name)

    def reserve(self, balancer: str) -> int:
        """Take a port for a balancer, and return it."""
        listening = socket.create_server((LOOPBACK, 0), backlog=256)
        self._sockets[balancer] = listening
        port: int = listening.getsockname()[1]
        return port

    def listen(self, balancer: str, serve: Callable[[socket.socket], Callable[[], None]]) -> None:
        """Serve on a balancer's port; `serve` returns what ends it."""
        self._closing[balancer] = serve(self._sockets[balancer])

    def mute(self, balancer: str) -> None:
        """End what serves on a balancer's port."""
        close = self._closing.pop(balancer, None)
        if close is not None:
            close()

    def release(self, balancer: str) -> None:
        """Give a balancer's port back."""
        self.mute(balancer)
        listening = self._sockets.pop(balancer, None)
        if listening is not None:
            listening.close()

    def group(self, arn: str, check: Check | None = None) -> TargetGroup | None:
        """Return a target group; with a check it is made, or changed."""
        if check is not None:
            self._groups.setdefault(arn, TargetGroup(check)).check = check
        return self._groups.get(arn)

    def forget(self, arn: str) -> None:
        """Ask nobody of a target group any more."""
        self._groups.pop(arn, None)

    def drain(self, instance_id: str) -> None:
        """Let a host finish in every group it is registered in."""
        for group in list(self._groups.values()):
            group.drain(instance_id)
