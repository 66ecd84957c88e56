"""Hosts as lines below the live line: each with its state, or those that matter where not all fit."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Systems Manager's words; any other is of a host where the command failed: what to look at first.
_LOOKED_AT = ("InProgress", "Pending", "Delayed", "Success")


def host_lines(states: Mapping[str, str], limit: int) -> list[str]:
    """Return at most `limit` lines, for a limit of at least 1.

    Where not every host can have one, those where it failed or goes on do, and the last line counts them all.
    """
    if len(states) <= limit:
        return [f"{host}  {state}" for host, state in states.items()]
    place = {state: number for number, state in enumerate(_LOOKED_AT)}
    urgent = sorted(states, key=lambda host: place.get(states[host], -1))[: limit - 1]
    counted = ", ".join(f"{count} {state}" for state, count in Counter(states.values()).most_common())
    return [*(f"{host}  {states[host]}" for host in urgent), f"{len(states)} hosts: {counted}"]
