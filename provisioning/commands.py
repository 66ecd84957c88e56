"""Run one SSM document on the hosts with some tags, and wait for its end on each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioning.aws.ssm import STDERR_SHOWN, CommandRequest
from provisioning.errors import AwsError, HostFailed, NotFound
from provisioning.registration import wait_for_hosts
from provisioning.waiting import DeadlinePassed, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from provisioning.aws import Aws
    from provisioning.aws.ssm import InvocationRecord, InvocationReport
    from provisioning.waiting import Clock

# Registration of a host that already ran a command is immediate; after a reboot it may take minutes.
ONLINE_DEADLINE_S = 5 * 60.0
# A command becomes DeliveryTimedOut after the sum of its two time-outs; a minute more is AWS being late.
# https://docs.aws.amazon.com/systems-manager/latest/userguide/monitor-commands.html
GRACE_S = 60.0
OVERSHOOT = 0.08  # how late the end of a command may be seen, as a share of what it took
STDERR_LINES = 15
STDERR_END = 64 * 1024  # bytes of the whole error output that are read from its end
STDERR_HOSTS = 3  # whole error output costs a call per host; a fleet fails for one reason
UNSENT = "Unsent"  # ours: the command was over before this host's turn came
SPARED = frozenset({UNSENT, "Terminated"})  # too many other hosts had failed


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCommand:
    """What to run, and on the hosts with which tags; both time-outs are seconds for one host."""

    document: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    delivery_timeout_s: int  # at least 30
    execution_timeout_s: int
    wave: int = 0  # hosts at once; 0: all of them
    max_errors: str = "100%"  # "0": the first failure keeps the hosts that have not begun from beginning
    output_bucket: str | None = None  # where hosts put their whole output
    output_prefix: str = ""

    def delivery_s(self, hosts: int) -> int:
        """Return until when the last wave must have begun: each wave may take the whole execution time-out.

        A command expires as a whole, so a wave that waits for its turn would expire with the first one's
        limit: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_Command.html
        """
        waves = -(-hosts // self.wave) if self.wave else 1
        return self.delivery_timeout_s + max(0, waves - 1) * self.execution_timeout_s


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOutcome:
    """How the command ended on one host; `status` is SSM's detailed status, or `UNSENT`."""

    instance_id: str
    status: str
    response_code: int
    output: str  # the first 2,500 characters of what it wrote
    stderr: str = ""  # or the end of it, where SSM cuts it; read for the first few hosts without success

    @property
    def succeeded(self) -> bool:
        """Whether the document's process exited 0."""
        return self.status == "Success"

    @property
    def ended_by_itself(self) -> bool:
        """Whether the document's process ended, well or badly; else SSM gave up on it."""
        return self.status in ("Success", "Failed")


class CommandFailed(HostFailed):
    """The command did not end by itself on every host; `outcomes` has what is known of each."""

    def __init__(self, message: str, hint: str, outcomes: Sequence[HostOutcome] = ()) -> None:
        status = outcomes[0].status if outcomes else ""
        super().__init__(message, hint, operation="ssm:SendCommand", aws_code=status)
        self.outcomes = tuple(outcomes)


def run_on_hosts(
    aws: Aws,
    command: HostCommand,
    *,
    on_progress: Callable[[str], None],
    on_host: Callable[[str, str], None],
    clock: Clock,
) -> tuple[HostOutcome, ...]:
    """Run the command, sent once and by tag, on every host; return how its process ended on each.

    `on_host` is called with a host and each new state of the command there. A process that ended badly is an
    outcome, since its own words explain it best, and so are the hosts that SSM then spared. Raises
    `CommandFailed` when nothing but SSM ended it, and `NotFound` without hosts. An interruption ends the
    waiting and not the command: hosts that have not begun begin too, so that a fleet ends up at one version.
    Its note says so.
    """
    count = len(aws.ec2.instances(dict(command.tags)))
    if not count:
        wanted = ", ".join(f"{key}={value}" for key, value in command.tags.items())
        raise NotFound(f"There is no host with the tags {wanted} in {aws.region}.", "amazonei status")
    hosts = wait_for_hosts(
        aws, command.tags, count, deadline_s=ONLINE_DEADLINE_S, on_progress=on_progress, clock=clock
    )
    command_id = aws.ssm.send_command(_request(command, len(hosts)))
    wait = _Wait(aws, command_id, hosts, on_progress, on_host)
    try:
        _wait_for_end(wait, command, clock)
        outcomes = _outcomes(aws, command, command_id, hosts)
    except KeyboardInterrupt as interruption:
        interruption.add_note(_told_going(wait.going, command_id, aws.region))
        raise
    unfinished = [outcome for outcome in outcomes if not outcome.ended_by_itself]
    if unfinished and not any(outcome.status == "Failed" for outcome in outcomes):
        raise CommandFailed(_told(unfinished), "Run the command again; it is safe to repeat.", outcomes)
    return outcomes


def _request(command: HostCommand, hosts: int) -> CommandRequest:
    return CommandRequest(
        document=command.document,
        parameters=command.parameters,
        tags=command.tags,
        delivery_timeout_s=command.delivery_s(hosts),
        max_concurrency=str(command.wave) if command.wave else "100%",
        max_errors=command.max_errors,
        output_bucket=command.output_bucket,
        output_prefix=command.output_prefix,
    )


class _Wait:
    """One command's state on the expected hosts, looked at again and again."""

    def __init__(
        self,
        aws: Aws,
        command_id: str,
        hosts: Sequence[str],
        on_progress: Callable[[str], None],
        on_host: Callable[[str, str], None],
    ) -> None:
        self._ssm = aws.ssm
        self._command_id = command_id
        self._hosts = hosts
        self._tell, self._tell_host = on_progress, on_host
        self._seen: dict[str, InvocationRecord] = {}

    def look(self) -> bool | None:
        """Return True once every host is done, or never will be reached.

        Tags are resolved after the call, so a host that is not listed yet is one to wait for.
        """
        for record in self._ssm.invocations(self._command_id):
            if self._seen.get(record.instance_id) != record:
                self._tell_host(record.instance_id, record.detail)
            self._seen[record.instance_id] = record
        if not self.going:
            return True
        if all(record.done for record in self._seen.values()):
            return True if self._ssm.command(self._command_id).ended_early else None
        return None

    @property
    def hosts(self) -> int:
        """How many hosts are expected."""
        return len(self._hosts)

    def cancel(self) -> None:
        """Ask SSM to end the command wherever it goes on."""
        self._ssm.cancel_command(self._command_id)

    @property
    def going(self) -> list[str]:
        """The hosts that are not done, listed or not."""
        missing = [host for host in self._hosts if host not in self._seen]
        return missing + [host for host, record in self._seen.items() if not record.done]

    def heartbeat(self, waited_s: float) -> None:
        """Say that it takes its time."""
        self._tell(f"still running on {len(self.going)} hosts after {waited_s:.0f} s")


def _wait_for_end(wait: _Wait, command: HostCommand, clock: Clock) -> None:
    """Wait until every host is done; past the deadline, cancel what is still going and say so."""
    deadline_s = command.delivery_s(wait.hosts) + command.execution_timeout_s + GRACE_S
    try:
        wait_for(
            wait.look,
            deadline_s=deadline_s,
            clock=clock,
            on_heartbeat=wait.heartbeat,
            overshoot=OVERSHOOT,
        )
    except DeadlinePassed:
        wait.cancel()
        raise CommandFailed(
            f"The command had not ended after {deadline_s:.0f} s on {_named(wait.going)}; it was cancelled.",
            "Run the command again; it is safe to repeat.",
        ) from None


def _outcomes(
    aws: Aws, command: HostCommand, command_id: str, hosts: Sequence[str]
) -> tuple[HostOutcome, ...]:
    """Return how it went everywhere, for hosts/50 calls, and a few more for hosts without success."""
    reports = {report.instance_id: report for report in aws.ssm.reports(command_id)}
    bad = sorted(name for name, report in reports.items() if report.detail != "Success")[:STDERR_HOSTS]
    stderr = {name: _stderr(aws, command, command_id, name) for name in bad}
    return tuple(
        _outcome(name, reports.get(name), stderr.get(name, "")) for name in sorted({*hosts, *reports})
    )


def _stderr(aws: Aws, command: HostCommand, command_id: str, instance_id: str) -> str:
    """Return what the command wrote to stderr on the host: its end, which tells why, where SSM cut that off.

    The agent puts it at `PREFIX/COMMAND/HOST/PLUGIN/STEP/stderr`, as an object, before the command ends.
    """
    shown = aws.ssm.invocation(command_id, instance_id).stderr
    bucket = command.output_bucket
    if len(shown) < STDERR_SHOWN or bucket is None:
        return shown
    try:
        of_host = aws.s3.keys(bucket, f"{command.output_prefix}/{command_id}/{instance_id}/")
        found = [key for key in of_host if key.endswith("/stderr")]
        return aws.s3.end_of(bucket, found[0], STDERR_END).decode(errors="replace") if found else shown
    except AwsError:  # what failed is to be told, even if only as far as SSM shows it
        return shown


def _outcome(instance_id: str, report: InvocationReport | None, stderr: str) -> HostOutcome:
    if report is None:
        return HostOutcome(instance_id=instance_id, status=UNSENT, response_code=-1, output="")
    return HostOutcome(
        instance_id=instance_id,
        status=report.detail,
        response_code=report.response_code,
        output=report.output,
        stderr=stderr,
    )


def _told(unfinished: Sequence[HostOutcome]) -> str:
    """Return what is known of the hosts, with the end of what the first ones wrote to stderr."""
    lines: list[str] = []
    for outcome in unfinished[:STDERR_HOSTS]:
        lines.append(f"The command ended {outcome.status} on {outcome.instance_id}.")
        lines += outcome.stderr.strip().splitlines()[-STDERR_LINES:]
    if len(unfinished) > STDERR_HOSTS:
        lines.append(
            f"So it did on {_named([outcome.instance_id for outcome in unfinished[STDERR_HOSTS:]])}."
        )
    return "\n".join(lines)


def _told_going(going: Sequence[str], command_id: str, region: str) -> str:
    """Return what an interruption left behind."""
    if not going:
        return f"Its command {command_id} has ended on every host."
    return (
        f"Its command {command_id} goes on without it, on {_named(going)}, also where it has not begun.\n"
        f"To end that too: aws ssm cancel-command --region {region} --command-id {command_id}"
    )


def _named(hosts: Sequence[str]) -> str:
    """Return the hosts by name, or their number where the names would fill the screen."""
    return ", ".join(hosts) if len(hosts) <= 10 else f"{', '.join(hosts[:3])} and {len(hosts) - 3} more"
