"""Let a server that is no longer the current one finish what it has accepted."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artifacts.errors import AmazoneiError
from artifacts.serve.routes import REQUEST_TIMEOUT_MS

if TYPE_CHECKING:
    from artifacts.serve.client import Client

# A client reads current.json and then connects: within this time the old server still gets new requests.
LINGER_S = 1.0
_POLL_S = 0.05
_REMAINING = re.compile(r"^mosec_service_remaining_task(?:\{[^}]*\})? ([0-9.]+)$", re.MULTILINE)


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


def _remaining(server: Client) -> float:
    """Return how many requests the server has accepted and not answered; none when it is gone."""
    try:
        found = _REMAINING.search(server.metrics())
    except AmazoneiError:
        return 0
    return float(found[1]) if found else 0
