"""Run one SSM document on the hosts with some tags, and wait for its end on each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioning.aws.ssm import INSTANCES_PER_COMMAND, CommandRequest
from provisioning.errors import HostFailed, NotFound
from provisioning.waiting import DeadlinePassed, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from provisioning.aws import Aws
    from provisioning.aws.ssm import InvocationRecord
    from provisioning.waiting import Clock

# Registration of a host that already ran a command is immediate; after a reboot it may take minutes.
ONLINE_DEADLINE_S = 5 * 60.0
# A command becomes DeliveryTimedOut after the sum of its two time-outs; a minute more is AWS being late.
# https://docs.aws.amazon.com/systems-manager/latest/userguide/monitor-commands.html
GRACE_S = 60.0
STDERR_LINES = 15
# The document's own process ended, well or badly; anything else means that SSM gave up on it.
ENDED_BY_ITSELF = frozenset({"Success", "Failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCommand:
    """What to run, and on the hosts with which tags; both time-outs are seconds."""

    document: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    delivery_timeout_s: int  # at least 30
    execution_timeout_s: int
    output_bucket: str | None = None
    output_prefix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOutcome:
    """How the command ended on one host; `status` is SSM's detailed status."""

    instance_id: str
    status: str
    response_code: int
    stdout: str  # the first 24,000 characters, as for stderr
    stderr: str

    @property
    def succeeded(self) -> bool:
        """Whether the document's process exited 0."""
        return self.status == "Success"


class CommandFailed(HostFailed):
    """The command did not end by itself on every host; `outcomes` has what is known of each."""

    def __init__(self, message: str, hint: str, outcomes: Sequence[HostOutcome] = ()) -> None:
        status = outcomes[0].status if outcomes else ""
        super().__init__(message, hint, operation="ssm:SendCommand", aws_code=status)
        self.outcomes = tuple(outcomes)


def wait_for_hosts(
    aws: Aws,
    tags: Mapping[str, str],
    count: int,
    *,
    deadline_s: float,
    on_progress: Callable[[str], None],
    clock: Clock,
) -> tuple[str, ...]:
    """Return the ids of the hosts with these tags once `count` of them can take commands.

    Raises `HostFailed` naming those that cannot, when the deadline has passed.
    """
    told: set[str] = set()

    def look() -> tuple[str, ...] | None:
        online = _online(aws, tags)
        for instance_id in sorted(online - told):
            on_progress(f"{instance_id} can take commands")
        told.update(online)
        return tuple(sorted(online)) if len(online) >= count else None

    try:
        return wait_for(
            look,
            deadline_s=deadline_s,
            clock=clock,
            on_heartbeat=lambda waited: on_progress(
                f"{len(told)} of {count} hosts can take commands after {waited:.0f} s"
            ),
        )
    except DeadlinePassed:
        raise HostFailed(_missing(aws, tags, count, deadline_s), _UNREGISTERED) from None


_UNREGISTERED = (
    "See what the host says: aws ec2 get-console-output --instance-id ID. Systems Manager must be "
    "reachable from its subnet, and its role must allow the agent to register."
)


def _online(aws: Aws, tags: Mapping[str, str]) -> set[str]:
    ids = [host.instance_id for host in aws.ec2.instances(dict(tags)) if host.state == "running"]
    return {
        host.instance_id
        for batch in _batches(ids)
        for host in aws.ssm.managed_hosts(batch)
        if host.ping == "Online"
    }


def _missing(aws: Aws, tags: Mapping[str, str], count: int, deadline_s: float) -> str:
    online = _online(aws, tags)
    silent = [
        f"{host.instance_id} ({host.state})"
        for host in aws.ec2.instances(dict(tags))
        if host.instance_id not in online
    ]
    told = f"; silent: {', '.join(silent)}" if silent else "; no other host exists"
    return f"{len(online)} of {count} hosts could take commands after {deadline_s:.0f} s{told}."


def run_on_hosts(
    aws: Aws, command: HostCommand, *, on_progress: Callable[[str], None], clock: Clock
) -> tuple[HostOutcome, ...]:
    """Run the command on every host with its tags; return how its process ended on each.

    A process that ended badly is an outcome, since its own words explain it best. Raises `CommandFailed`
    when it was not delivered, timed out or was cancelled anywhere, and `NotFound` when there is no host.
    """
    count = len(aws.ec2.instances(dict(command.tags)))
    if not count:
        wanted = ", ".join(f"{key}={value}" for key, value in command.tags.items())
        raise NotFound(f"There is no host with the tags {wanted} in {aws.region}.", "amazonei status")
    hosts = wait_for_hosts(
        aws, command.tags, count, deadline_s=ONLINE_DEADLINE_S, on_progress=on_progress, clock=clock
    )
    sent = _send(aws, command, hosts)
    _wait_for_end(aws, command, sent, on_progress, clock)
    outcomes = tuple(_outcome(aws, command_id, instance_id) for instance_id, command_id in sent.items())
    unfinished = [outcome for outcome in outcomes if outcome.status not in ENDED_BY_ITSELF]
    if unfinished:
        raise CommandFailed(_told(unfinished), "Run the command again; it is safe to repeat.", outcomes)
    return outcomes


def _send(aws: Aws, command: HostCommand, hosts: Sequence[str]) -> dict[str, str]:
    """Send the command to the hosts; return the command's id for each of them."""
    sent: dict[str, str] = {}
    for batch in _batches(hosts):
        request = CommandRequest(
            document=command.document,
            parameters=command.parameters,
            # By id, not by tag: targets are resolved later, and a host that is not listed yet looks done.
            instance_ids=batch,
            delivery_timeout_s=command.delivery_timeout_s,
            output_bucket=command.output_bucket,
            output_prefix=command.output_prefix,
        )
        command_id = aws.ssm.send_command(request)
        sent |= dict.fromkeys(batch, command_id)
    return sent


def _wait_for_end(
    aws: Aws,
    command: HostCommand,
    sent: Mapping[str, str],
    on_progress: Callable[[str], None],
    clock: Clock,
) -> None:
    """Wait until every host is done; past the deadline, cancel what is still going and say so."""
    last: dict[str, InvocationRecord] = {}

    def look() -> bool | None:
        for command_id in sorted(set(sent.values())):
            for record in aws.ssm.invocations(command_id):
                if last.get(record.instance_id) != record:
                    on_progress(f"{record.instance_id}: {record.detail}")
                last[record.instance_id] = record
        return True if all(host in last and last[host].done for host in sent) else None

    deadline_s = command.delivery_timeout_s + command.execution_timeout_s + GRACE_S
    try:
        wait_for(
            look,
            deadline_s=deadline_s,
            clock=clock,
            on_heartbeat=lambda waited: on_progress(f"still running after {waited:.0f} s"),
        )
    except DeadlinePassed:
        going = [host for host in sent if host not in last or not last[host].done]
        for command_id in sorted({sent[host] for host in going}):
            aws.ssm.cancel_command(command_id)
        raise CommandFailed(
            f"The command had not ended after {deadline_s:.0f} s on {', '.join(going)}; it was cancelled.",
            "Run the command again; it is safe to repeat.",
        ) from None


def _outcome(aws: Aws, command_id: str, instance_id: str) -> HostOutcome:
    output = aws.ssm.invocation(command_id, instance_id)
    return HostOutcome(
        instance_id=instance_id,
        status=output.detail,
        response_code=output.response_code,
        stdout=output.stdout,
        stderr=output.stderr,
    )


def _told(unfinished: Sequence[HostOutcome]) -> str:
    """Return what is known of the hosts, with the end of what each wrote to stderr."""
    lines: list[str] = []
    for outcome in unfinished:
        lines.append(f"The command ended {outcome.status} on {outcome.instance_id}.")
        lines += outcome.stderr.strip().splitlines()[-STDERR_LINES:]
    return "\n".join(lines)


def _batches(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + INSTANCES_PER_COMMAND] for start in range(0, len(ids), INSTANCES_PER_COMMAND)]
