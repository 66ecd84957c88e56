"""Let a server that is no longer the current one finish what it has accepted."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artifacts.errors import AmazoneiError
from artifacts.serve.routes import REQUEST_TIMEOUT_MS
from artifacts.serve.traffic import read_traffic

if TYPE_CHECKING:
    from artifacts.serve.client import Client

# A client reads current.json and then connects: within this time the old server still gets new requests.
LINGER_S = 1.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Drain:
    """How long the old server stays after the switch, in seconds."""

    linger_s: float = LINGER_S
    limit_s: float = REQUEST_TIMEOUT_MS / 1000  # no request lives longer

    def wait(self, server: Client) -> bool:
        """Wait until the server has answered what it accepted; returns whether it had within the limit."""
        time.sleep(self.linger_s)
        deadline = time.monotonic() + self.limit_s
        while _remaining(server) > 0:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True


def _remaining(server: Client) -> int:
    """Return how many requests the server has accepted and not answered; none when it is gone."""
    try:
        return read_traffic(server.metrics()).waiting
    except AmazoneiError:
        return 0
