"""One SSM command on one host: its state, its steps' results, and the script runs behind them.

Statuses follow https://docs.aws.amazon.com/systems-manager/latest/userguide/monitor-commands.html
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from provisioning.emulator.execution import STOPPED_EXIT_CODE, Ending, Execution, Outcome, Script

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from provisioning.emulator.host import Host
    from provisioning.emulator.ssm_document import Rendering, Step

# The code of a command that never ran on the node.
# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetCommandInvocation.html
NOT_RUN_CODE = -1


class Status(StrEnum):
    """The states of a command on one node, as the API spells them."""

    PENDING = "Pending"
    IN_PROGRESS = "InProgress"
    CANCELLING = "Cancelling"
    SUCCESS = "Success"
    FAILED = "Failed"
    TIMED_OUT = "TimedOut"
    CANCELLED = "Cancelled"

    @property
    def final(self) -> bool:
        """Return whether nothing follows this state."""
        return self not in {Status.PENDING, Status.IN_PROGRESS, Status.CANCELLING}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What became of one step."""

    name: str
    status: Status
    details: str
    exit_code: int
    started: datetime
    ended: datetime
    stdout: Path
    stderr: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a host is asked to do for a command, and until when it must have begun."""

    command_id: str
    rendering: Rendering
    deliver_before: datetime
    completed: Callable[[Invocation], None]  # called once the last step has ended, before the state is final
    ended: Callable[[Invocation], None]  # called once the state is final


class Invocation:
    """One command on one host."""

    def __init__(self, order: Order, host: Host) -> None:
        self.host = host
        self.status = Status.PENDING
        self.details = "Pending"
        self.started: datetime | None = None
        self.ended: datetime | None = None
        self.results: tuple[StepResult, ...] = ()
        self._order = order
        self._lock = threading.Lock()
        self._execution: Execution | None = None

    @property
    def exit_code(self) -> int:
        """Return the first failing step's exit code, 0 after success, -1 when nothing ran (yet)."""
        if not self.results or not self.status.final:
            return NOT_RUN_CODE
        return next((each.exit_code for each in self.results if each.exit_code), 0)

    def run(self) -> None:
        """Run the steps in order; blocks until they ended or the invocation was ended."""
        if datetime.now(UTC) > self._order.deliver_before:
            self._finish(Status.TIMED_OUT, "DeliveryTimedOut")
            return
        with self._lock:
            if self.status is not Status.PENDING:
                return
            self.status, self.details = Status.IN_PROGRESS, "InProgress"
            self.started = datetime.now(UTC)
        for step in self._order.rendering.steps:
            result = self._run_step(step)
            if result is None:
                return
            self.results += (result,)
            if result.status is not Status.SUCCESS and (
                step.exits_on_failure or result.status is not Status.FAILED
            ):
                break
        self._conclude()

    def cancel(self) -> None:
        """Cancel the invocation: one that waits never runs, one that runs is killed."""
        self._end_waiting("Cancelled")
        with self._lock:
            if self.status is Status.IN_PROGRESS:
                self.status, self.details = Status.CANCELLING, "Cancelling"
            execution = self._execution
        if execution is not None:
            execution.end(Ending.CANCELLED)

    def terminate(self) -> None:
        """End an invocation whose turn never came: too many others of its command had failed."""
        self._end_waiting("Terminated")

    def abandon(self) -> None:
        """End the invocation because its host is gone."""
        self._finish(Status.FAILED, "Undeliverable")
        with self._lock:
            execution = self._execution
        if execution is not None:
            execution.end(Ending.CANCELLED)

    def _run_step(self, step: Step) -> StepResult | None:
        """Return what became of the step, or None when the invocation ended before it began."""
        execution = Execution(self._script(step))
        with self._lock:
            if self.status.final:
                return None
            self._execution = execution
            if self.status is Status.CANCELLING:
                execution.end(Ending.CANCELLED)
        started = datetime.now(UTC)
        outcome = execution.run()
        status, details = _verdict(outcome)
        return StepResult(
            name=step.name,
            status=status,
            details=details,
            exit_code=outcome.exit_code,
            started=started,
            ended=datetime.now(UTC),
            stdout=outcome.stdout,
            stderr=outcome.stderr,
        )

    def _script(self, step: Step) -> Script:
        host = self.host
        folder = host.root / "commands" / self._order.command_id / "awsrunShellScript" / step.name
        return Script(
            text=step.text,
            folder=folder,
            environment={**host.environment, **self._order.rendering.environment},
            working_directory=host.root / step.working_directory,
            timeout_s=step.timeout_s,
        )

    def _conclude(self) -> None:
        worst = next((each for each in reversed(self.results) if each.status is not Status.SUCCESS), None)
        self._order.completed(self)
        if worst is None:
            self._finish(Status.SUCCESS, "Success")
        else:
            self._finish(worst.status, worst.details)

    def _finish(self, status: Status, details: str) -> None:
        with self._lock:
            if self.status.final:
                return
            self.status, self.details, self.ended = status, details, datetime.now(UTC)
        self._order.ended(self)

    def _end_waiting(self, details: str) -> None:
        with self._lock:
            if self.status is not Status.PENDING:
                return
            self.status, self.details, self.ended = Status.CANCELLED, details, datetime.now(UTC)
        self._order.ended(self)


def _verdict(outcome: Outcome) -> tuple[Status, str]:
    """Return what the agent makes of an outcome.

    It tells a time-out by the exit code alone, so a script that the kernel killed for memory (137) is
    reported as timed out too: https://github.com/aws/amazon-ssm-agent (pluginutil, GetStatus).
    """
    if outcome.ending is Ending.CANCELLED:
        return Status.CANCELLED, "Cancelled"
    if outcome.exit_code == STOPPED_EXIT_CODE:
        return Status.TIMED_OUT, "ExecutionTimedOut"
    return (Status.FAILED, "Failed") if outcome.exit_code else (Status.SUCCESS, "Success")
