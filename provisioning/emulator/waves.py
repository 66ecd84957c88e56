"""How a command spreads over its hosts: so many at once, and no further after too many errors.

https://docs.aws.amazon.com/systems-manager/latest/userguide/send-commands-multiple.html
"""

from __future__ import annotations

import re
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moto.ssm.exceptions import SSMException

from provisioning.emulator.invocation import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provisioning.emulator.invocation import Invocation

# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_SendCommand.html
_CONCURRENCY = re.compile(r"[1-9][0-9]{0,6}|[1-9][0-9]?%|100%")
_ERRORS = re.compile(r"0|[1-9][0-9]{0,6}|[0-9]%|[1-9][0-9]%|100%")
# Hosts that cannot be reached do not count against MaxErrors:
# https://docs.aws.amazon.com/systems-manager/latest/userguide/monitor-commands.html
_UNCOUNTED = frozenset({"Undeliverable", "Terminated"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RateControl:
    """MaxConcurrency and MaxErrors as they were sent; each a number or a percentage of the hosts."""

    max_concurrency: str = "50"
    max_errors: str = "0"

    def __post_init__(self) -> None:
        for name, pattern in (("max_concurrency", _CONCURRENCY), ("max_errors", _ERRORS)):
            if not pattern.fullmatch(getattr(self, name)):
                raise SSMException("ValidationException", f"{name} {getattr(self, name)!r} has a wrong form.")

    def at_once(self, hosts: int) -> int:
        """Return how many hosts may run it at the same time, at least one."""
        return max(1, _number(self.max_concurrency, hosts))

    def errors(self, hosts: int) -> int:
        """Return how many failures still let the command go on."""
        return _number(self.max_errors, hosts)


class Waves:
    """Gives a command's invocations to their hosts, wave after wave."""

    def __init__(self, control: RateControl, invocations: Sequence[Invocation]) -> None:
        self._lock = threading.Lock()
        self._waiting = deque(invocations)
        self._free = control.at_once(len(invocations))
        self._errors_left = control.errors(len(invocations))

    def begin(self) -> None:
        """Send the first wave."""
        self._send()

    def ended(self, invocation: Invocation) -> None:
        """Take note of an end: the next host's turn has come, or nobody's any more."""
        with self._lock:
            self._free += 1
            failed = invocation.status in {Status.FAILED, Status.TIMED_OUT}
            if failed and invocation.details not in _UNCOUNTED:
                self._errors_left -= 1
        self._send()

    def _send(self) -> None:
        for invocation in self._due():
            if self._errors_left < 0:
                invocation.terminate()
            else:
                invocation.host.agent.submit(invocation)

    def _due(self) -> list[Invocation]:
        with self._lock:
            count = len(self._waiting) if self._errors_left < 0 else min(self._free, len(self._waiting))
            self._free -= count
            return [self._waiting.popleft() for _ in range(count)]


def _number(text: str, hosts: int) -> int:
    return hosts * int(text[:-1]) // 100 if text.endswith("%") else int(text)
