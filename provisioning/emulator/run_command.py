"""SSM Run Command of the emulator: commands, who they were sent to, and what became of them."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from moto.ssm.exceptions import SSMException

from provisioning.emulator.invocation import Invocation, Order, Status
from provisioning.emulator.waves import RateControl, Waves

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from provisioning.emulator.host import Host
    from provisioning.emulator.ssm_document import CommandDocument

_MOST_COMMANDS = 1000  # the emulator forgets older ones; AWS keeps them for 30 days


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What SendCommand asked for."""

    document: CommandDocument
    parameters: Mapping[str, Sequence[str]]
    timeout_s: int  # for delivery, not for execution
    comment: str = ""
    instance_ids: tuple[str, ...] = ()
    targets: tuple[Mapping[str, object], ...] = ()
    output_bucket: str = ""
    output_prefix: str = ""
    control: RateControl = field(default_factory=RateControl)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command that was sent, with one invocation for each host."""

    id: str
    account: str
    region: str
    request: Request
    requested: datetime
    invocations: tuple[Invocation, ...]

    @property
    def expires(self) -> datetime:
        """Return until when an invocation must have begun."""
        return self.requested + timedelta(seconds=self.request.timeout_s)

    @property
    def status(self) -> Status:
        """Return the aggregated state."""
        states = {each.status for each in self.invocations}
        if states == {Status.PENDING}:
            return Status.PENDING
        for state in (Status.CANCELLING, Status.PENDING, Status.IN_PROGRESS):
            if state in states:
                return Status.CANCELLING if state is Status.CANCELLING else Status.IN_PROGRESS
        order = (Status.FAILED, Status.TIMED_OUT, Status.CANCELLED)
        return next((state for state in order if state in states), Status.SUCCESS)

    @property
    def details(self) -> str:
        """Return the aggregated state in detail."""
        if not self.invocations:
            return "NoInstancesInTag"
        matching = (each.details for each in self.invocations if each.status is self.status)
        return next(matching, self.status.value)

    def invocation(self, instance_id: str) -> Invocation:
        """Return the invocation on the instance; raises InvocationDoesNotExist."""
        for each in self.invocations:
            if each.host.instance_id == instance_id:
                return each
        raise SSMException("InvocationDoesNotExist", f"Command {self.id} has no invocation on {instance_id}.")


class RunCommand:
    """Every command that was sent in this emulator."""

    def __init__(self, upload: Callable[[Command, Invocation], None]) -> None:
        self._upload = upload
        self._lock = threading.Lock()
        self._commands: dict[str, Command] = {}

    def send(self, account: str, region: str, request: Request, hosts: Sequence[Host]) -> Command:
        """Send the command to the hosts; raises InvalidParameters before anything was sent."""
        rendering = request.document.render(request.parameters)
        command_id = str(uuid.uuid4())
        requested = datetime.now(UTC)
        order = Order(
            command_id=command_id,
            rendering=rendering,
            deliver_before=requested + timedelta(seconds=request.timeout_s),
            completed=lambda invocation: self._upload(command, invocation),
            ended=lambda invocation: waves.ended(invocation),  # noqa: PLW0108 - made below, from the order
        )
        command = Command(
            id=command_id,
            account=account,
            region=region,
            request=request,
            requested=requested,
            invocations=tuple(Invocation(order, host) for host in hosts),
        )
        waves = Waves(request.control, command.invocations)
        self._keep(command)
        waves.begin()
        return command

    def find(self, account: str, region: str, command_id: str) -> Command:
        """Return the command; raises InvalidCommandId."""
        command = self._commands.get(command_id)
        if command is None or (command.account, command.region) != (account, region):
            raise SSMException("InvalidCommandId", f"There is no command {command_id}.")
        return command

    def list(self, account: str, region: str) -> tuple[Command, ...]:
        """Return the region's commands, the newest first."""
        with self._lock:
            commands = tuple(self._commands.values())
        return tuple(each for each in reversed(commands) if (each.account, each.region) == (account, region))

    def _keep(self, command: Command) -> None:
        with self._lock:
            self._commands[command.id] = command
            while len(self._commands) > _MOST_COMMANDS:
                del self._commands[next(iter(self._commands))]
