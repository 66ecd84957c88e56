"""The load balancer before a group, as it is asked for: certificate, clients, and how far the group grows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_network

from artifacts.errors import BadRequest

CERTIFICATE_PATTERN = re.compile(r"arn:[\w-]+:acm:([a-z0-9-]+):\d{12}:certificate/[0-9a-f-]+", re.ASCII)
WIDEST_PREFIX = {4: 8, 6: 32}  # 10.0.0.0/8 is somebody's whole company; anything wider is the world
KEYS = ("certificate", "clients", "max_count", "requests_per_minute")


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancerSpec:
    """An internal load balancer over TLS, and how far its group may grow with the requests."""

    certificate: str  # the ARN of a certificate in ACM, of the same region
    clients: str | None = None  # the addresses that may connect, in CIDR; None: those of the new VPC
    max_count: int | None = None  # hosts the group may grow to; None: it does not grow
    requests_per_minute: int | None = None  # of one host, at which another one is added

    def __post_init__(self) -> None:
        if not CERTIFICATE_PATTERN.fullmatch(self.certificate):
            raise BadRequest(
                f"{self.certificate!r} is not the ARN of a certificate in ACM.",
                "Write it like arn:aws:acm:us-west-2:123456789012:certificate/0a1b2c3d-...",
            )
        if self.clients is not None:
            _check_clients(self.clients)
        if (self.max_count is None) != (self.requests_per_minute is None):
            raise BadRequest(
                "How far a group grows and at how many requests it grows are named together.",
                "Write max_count = 6 and requests_per_minute = 3000.",
            )
        if self.requests_per_minute is not None and self.requests_per_minute < 1:
            raise BadRequest("A group that grows at no requests never stops.", "Write 1 or more per minute.")

    @property
    def region(self) -> str:
        """The region of the certificate."""
        found = CERTIFICATE_PATTERN.fullmatch(self.certificate)
        return found[1] if found else ""

    def check_count(self, accelerator: str, count: int) -> None:
        """Raise BadRequest for a number of hosts that a balancer can do nothing with."""
        if count < 2:
            raise BadRequest(
                f"A balancer before {count} {accelerator} host has nowhere to send requests while that one "
                "switches to another version.",
                "Ask for count = 2 or more.",
            )
        if self.max_count is not None and self.max_count <= count:
            raise BadRequest(
                f"A group of {count} {accelerator} hosts cannot grow to {self.max_count}.",
                "Write max_count > count.",
            )


def _check_clients(cidr: str) -> None:
    try:
        network = ip_network(cidr)
    except ValueError as error:
        raise BadRequest(f"{cidr!r} is not a CIDR block: {error}.", "Write it like 10.1.0.0/16.") from error
    if network.prefixlen < WIDEST_PREFIX[network.version]:
        raise BadRequest(f"Clients from {cidr} are the world.", "Name the addresses they come from.")
