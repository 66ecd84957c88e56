"""A balanced host: two fixed ports, and how it leaves the rotation before a switch and enters it afterwards.

The server changes between ports with each version; the door always leads to the one that is served. The
health port is there only while the host is in rotation, so a load balancer stops sending before anything
changes. The numbers are both the template's, which configures the balancer with them, and the host's, which
waits by them:
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DOOR_PORT = 8000  # requests: leads to the port of the version that is served
HEALTH_PORT = 8001  # there only while the host is in rotation, and leads to the same server

# The least that AWS takes of all three: a switch costs each host this time twice.
INTERVAL_S = 5
TIMEOUT_S = 2
THRESHOLD = 2  # answers in a row, of either kind
HEALTH_PATH = "/"
# The balancer's nodes look each for themselves, and tell each other nothing.
MARGIN_S = 3

NOTICED_S = float(INTERVAL_S * THRESHOLD + TIMEOUT_S + MARGIN_S)


class Forwarder(Protocol):
    """Leads fixed ports of the host to ports of its servers."""

    def lead(self, port: int, to: int) -> None:
        """Lead a fixed port to a server's; connections that it led elsewhere are cut."""
        ...

    def shut(self, port: int) -> None:
        """Let nobody in at a fixed port any more."""
        ...

    def leads_to(self, port: int) -> int | None:
        """Return the server's port that a fixed port leads to, or None where nobody is let in."""
        ...


@dataclass(frozen=True, slots=True)
class Rotation:
    """Whether the balancer sends requests to this host."""

    forwarder: Forwarder
    noticed_s: float = NOTICED_S  # until every node of the balancer has noticed a change
    sleep: Callable[[float], None] = time.sleep

    @property
    def is_in(self) -> bool:
        """Whether the host says that it is well where the balancer asks."""
        return self.forwarder.leads_to(HEALTH_PORT) is not None

    def leave(self, say: Callable[[str], None]) -> None:
        """Say no more that the host is well, and wait until nobody sends to it; nothing outside of it."""
        if self.is_in:
            say(f"leaving the rotation, {self.noticed_s:.0f} s")
            self.forwarder.shut(HEALTH_PORT)
            self.sleep(self.noticed_s)

    def enter(self, port: int, say: Callable[[str], None]) -> None:
        """Lead the door to a server, and wait until the balancer sends to it; where it is so, it stays so."""
        if self.forwarder.leads_to(DOOR_PORT) != port:
            self.forwarder.lead(DOOR_PORT, port)
        if self.forwarder.leads_to(HEALTH_PORT) != port:
            say(f"entering the rotation, {self.noticed_s:.0f} s")
            self.forwarder.lead(HEALTH_PORT, port)
            self.sleep(self.noticed_s)

    @contextmanager
    def outside(self, say: Callable[[str], None], served: Callable[[], int | None]) -> Iterator[None]:
        """Do something outside of the rotation; then the host is in again, whatever became of it.

        `served` says which server's port that is then, or None where nothing is served.
        """
        try:
            self.leave(say)
            yield
        finally:
            port = served()
            if port is not None:
                self.enter(port, say)

    def end(self, say: Callable[[str], None]) -> None:
        """Leave the rotation, and shut the door."""
        self.leave(say)
        self.forwarder.shut(DOOR_PORT)
