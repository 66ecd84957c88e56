"""The clock of EventBridge Scheduler: one-time schedules fire when their time has come.

moto keeps schedules and never looks at them again. The time is the machine's, plus what
`service.advance` was told, so that nobody has to wait for an expiry to see it.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from moto.cloudformation.models import cloudformation_backends
from moto.scheduler.models import scheduler_backends
from moto.sqs.models import sqs_backends

from provisioning.emulator.group_actions import GroupActions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from moto.scheduler.models import Schedule

    from provisioning.emulator.state import StateDirectory

DELETE_STACK = "aws-sdk:cloudformation:deleteStack"
PERIOD_S = 0.5
_AT = re.compile(r"at\((\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})\)")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A schedule whose time has come, and where it lives."""

    schedule: Schedule
    account: str
    region: str


@dataclass(slots=True, kw_only=True)
class ScheduleClock:
    """Fires each one-time schedule once; a schedule that is set to another time fires again."""

    now: Callable[[], datetime]
    _fired: set[tuple[str, str]] = field(default_factory=set)
    _ended: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Look at the schedules every half second until told to end."""
        threading.Thread(target=self._run, name="schedules", daemon=True).start()

    def end(self) -> None:
        """Fire nothing any more."""
        self._ended.set()

    def fire_due(self) -> tuple[str, ...]:
        """Fire what is due, earliest first, and return the names of those schedules."""
        due = sorted(self._due(), key=lambda it: it.schedule.schedule_expression)
        for item in due:
            self._fired.add((item.schedule.arn, item.schedule.schedule_expression))
            fire(item)
        return tuple(item.schedule.name for item in due)

    def _run(self) -> None:
        groups = GroupActions()
        while not self._ended.wait(PERIOD_S):
            self.fire_due()
            groups.carry_out(self.now())

    def _due(self) -> Iterator[Due]:
        now = self.now()
        for account, regions in list(scheduler_backends.items()):
            for region, backend in list(regions.items()):
                for group in list(backend.schedule_groups.values()):
                    for schedule in list(group.schedules.values()):
                        if self._is_due(schedule, now):
                            yield Due(schedule=schedule, account=account, region=region)

    def _is_due(self, schedule: Schedule, now: datetime) -> bool:
        match = _AT.fullmatch(schedule.schedule_expression)
        if match is None or schedule.state != "ENABLED":
            return False
        # Only UTC is known here; the schedules of ours say it.
        when = datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
        return when <= now and (schedule.arn, schedule.schedule_expression) not in self._fired


def fire(due: Due) -> None:
    """Do what a schedule's target says; what cannot be done becomes a dead letter."""
    target = due.schedule.target
    if not str(target["Arn"]).endswith(DELETE_STACK):
        _bury(due, "The emulator knows no other target than cloudformation:deleteStack")
        return
    name = json.loads(target["Input"])["StackName"]
    backend = cloudformation_backends[due.account][due.region]
    stack = next((it for it in list(backend.stacks.values()) if name in {it.name, it.stack_id}), None)
    if stack is not None and stack.enable_termination_protection:
        _bury(due, f"Stack [{name}] cannot be deleted while TerminationProtection is enabled")
    elif stack is not None:
        _log.info("schedule %s deletes stack %s", due.schedule.name, name)
        backend.delete_stack(name)


def _bury(due: Due, reason: str) -> None:
    letters = (due.schedule.target.get("DeadLetterConfig") or {}).get("Arn")
    if letters is None:
        return
    queue = sqs_backends[due.account][due.region].get_queue(letters.rpartition(":")[2])
    sqs_backends[due.account][due.region].send_message(
        queue.name,
        str(due.schedule.target.get("Input", "")),
        message_attributes={"ERROR_MESSAGE": {"data_type": "String", "string_value": reason}},
    )


def shifted_now(state: StateDirectory) -> Callable[[], datetime]:
    """Return a clock that is ahead of the machine's by the seconds in the state directory's file."""
    return lambda: datetime.now(UTC) + timedelta(seconds=_shift(state.clock))


def _shift(file: Path) -> float:
    try:
        return float(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0.0
