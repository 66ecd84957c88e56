"""Remove a deployment: observe, plan, show, perform, verify. Its name alone is enough, from any machine.

Hosts go before the foundation they import from, buckets are emptied just before their stack, and it is
done only when an audit finds nothing. Repeating an interrupted teardown goes on where it stopped.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from provisioning.audit import audit
from provisioning.balancers import RemoveBalancer, find_loose, remove
from provisioning.deploying import delete_stack, refuse_protected
from provisioning.emptying import empty_bucket
from provisioning.errors import (
    AwsError,
    AwsUnreachable,
    CredentialsMissing,
    LeftBehind,
    NotFound,
    StackFailed,
)
from provisioning.ownership import is_own
from provisioning.repairs import UndoRepair, find_repairs, undo
from provisioning.searches import find_buckets
from provisioning.waiting import DeadlinePassed, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from provisioning.audit import Leftover
    from provisioning.aws import Aws
    from provisioning.aws.cloudformation import StackRecord
    from provisioning.waiting import Clock

# A deletion fails when a host writes a last result between the emptying and the deleting.
DELETE_ATTEMPTS = 3
# Interfaces of managed endpoints outlive them by up to half an hour.
INTERFACES_DEADLINE_S = 30 * 60.0
HOST_TYPES = ("AWS::EC2::Instance", "AWS::AutoScaling::AutoScalingGroup")
# What AWS deleted may still be listed for a moment.
VISIBILITY_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedStack:
    """One of the deployment's stacks, and what in it needs care before it can go."""

    record: StackRecord
    buckets: tuple[str, ...] = ()
    vpc_id: str | None = None
    has_hosts: bool = False
    owned: frozenset[str] = frozenset()  # the physical ids of everything in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What exists of a deployment, and what only shares its name."""

    deployment: str
    region: str
    stacks: tuple[ObservedStack, ...]
    loose_buckets: tuple[str, ...]  # with our tag, in none of our stacks
    foreign_stacks: tuple[str, ...]  # with the deployment's name but not its tag: never touched
    repairs: tuple[UndoRepair, ...] = ()  # of networks that are not the deployment's
    balancers: tuple[RemoveBalancer, ...] = ()  # in none of our stacks


@dataclass(frozen=True, slots=True)
class EmptyBucket:
    """Delete every version, delete marker and unfinished upload in a bucket."""

    bucket: str


@dataclass(frozen=True, slots=True)
class DeleteBucket:
    """Delete a bucket that no stack owns any more."""

    bucket: str


@dataclass(frozen=True, slots=True)
class AwaitInterfaces:
    """Wait until only endpoints have network interfaces in a VPC; they would block its deletion.

    Hosts in the VPC's own stack end with it, and theirs are not waited for.
    """

    vpc_id: str
    spare_hosts: bool = False


@dataclass(frozen=True, slots=True)
class DeleteStack:
    """Delete a stack; its buckets are emptied again when something was written meanwhile."""

    stack: StackRecord
    buckets: tuple[str, ...] = ()


TeardownStep = EmptyBucket | DeleteBucket | AwaitInterfaces | DeleteStack | UndoRepair | RemoveBalancer


class StillThere(LeftBehind):
    """Teardown ended and something exists; `leftovers` has each of them."""

    def __init__(self, message: str, hint: str, leftovers: Sequence[Leftover]) -> None:
        super().__init__(message, hint)
        self.leftovers = tuple(leftovers)


def observe(aws: Aws, deployment: str) -> Observed:
    """Ask AWS what there is of the deployment; only describe and list calls."""
    records = aws.cloudformation.stacks()
    own = [record for record in records if is_own(aws, record, deployment)]
    stacks = tuple(_observe_stack(aws, record) for record in own)
    owned = frozenset().union(*(stack.owned for stack in stacks))
    return Observed(
        deployment=deployment,
        region=aws.region,
        stacks=stacks,
        loose_buckets=tuple(found.id for found in find_buckets(aws, deployment) if found.id not in owned),
        foreign_stacks=tuple(
            record.name for record in records if record.name == deployment and record not in own
        ),
        repairs=find_repairs(aws, deployment),
        balancers=find_loose(aws, deployment, owned),
    )


def _observe_stack(aws: Aws, record: StackRecord) -> ObservedStack:
    resources = [
        resource
        for resource in aws.cloudformation.resources(record.id)
        if resource.physical_id and resource.status != "DELETE_COMPLETE"
    ]
    vpcs = [resource.physical_id for resource in resources if resource.type == "AWS::EC2::VPC"]
    return ObservedStack(
        record=record,
        buckets=tuple(item.physical_id for item in resources if item.type == "AWS::S3::Bucket"),
        vpc_id=vpcs[0] if vpcs else None,
        has_hosts=any(resource.type in HOST_TYPES for resource in resources),
        owned=frozenset(resource.physical_id for resource in resources),
    )


def plan_teardown(observed: Observed) -> tuple[TeardownStep, ...]:
    """Return the steps in order, none when there is nothing.

    Raises `StackFailed` before the first step when termination protection of a stack is on.
    """
    for stack in observed.stacks:
        refuse_protected(stack.record, observed.region)
    return tuple(_steps(observed))


def _steps(observed: Observed) -> Iterator[TeardownStep]:
    foundation = [stack for stack in observed.stacks if stack.record.name == observed.deployment]
    guard = [stack for stack in observed.stacks if stack.record.name == f"{observed.deployment}-guard"]
    hosts = [stack for stack in observed.stacks if stack not in (*foundation, *guard)]
    yield from observed.balancers  # their interfaces would keep the subnets
    # CloudFormation refuses to delete a foundation whose exports are in use; the guard goes last, so that
    # an interrupted teardown is still finished by it.
    for stack in (*hosts, *foundation, *guard):
        if stack in foundation and hosts and stack.vpc_id is not None:
            yield AwaitInterfaces(stack.vpc_id, stack.has_hosts)
        yield from (EmptyBucket(bucket) for bucket in stack.buckets)
        yield DeleteStack(stack.record, stack.buckets)
    for bucket in observed.loose_buckets:
        yield EmptyBucket(bucket)
        yield DeleteBucket(bucket)
    # Last: a network that cannot be restored must not keep hosts running.
    yield from observed.repairs


def describe(step: TeardownStep) -> str:
    """Return the line a person reads before accepting the step."""
    match step:
        case EmptyBucket(bucket=bucket):
            return f"empty bucket {bucket}, all versions"
        case DeleteBucket(bucket=bucket):
            return f"delete bucket {bucket}"
        case AwaitInterfaces(vpc_id=vpc_id):
            return f"wait until the network interfaces of hosts in {vpc_id} are gone"
        case DeleteStack(stack=stack):
            return f"delete stack {stack.name} ({stack.status})"
        case UndoRepair() | RemoveBalancer():
            return step.describe()
        case _:
            assert_never(step)


def perform(
    aws: Aws, steps: Sequence[TeardownStep], *, say: Callable[[str], None], clock: Clock
) -> tuple[AwsError, ...]:
    """Carry the steps out; return what failed, after trying all the others.

    One stuck stack, or an object that its lock keeps, must not keep hosts running, and billed. Without AWS or
    credentials no step can do anything: that is raised.
    """
    failures: list[AwsError] = []
    for step in steps:
        say(describe(step))
        try:
            _perform(aws, step, say, clock)
        except (AwsUnreachable, CredentialsMissing):
            raise
        except AwsError as failure:
            say(failure.message)
            failures.append(failure)
    return tuple(failures)


def _perform(aws: Aws, step: TeardownStep, say: Callable[[str], None], clock: Clock) -> None:
    match step:
        case EmptyBucket(bucket=bucket):
            empty_bucket(aws, bucket)
        case DeleteBucket(bucket=bucket):
            with suppress(NotFound):
                aws.s3.delete_bucket(bucket)
        case AwaitInterfaces():
            _await_interfaces(aws, step, say, clock)
        case DeleteStack():
            _delete_stack(aws, step, say, clock)
        case UndoRepair():
            undo(aws, step, clock)
        case RemoveBalancer():
            remove(aws, step, clock)
        case _:
            assert_never(step)


def _await_interfaces(aws: Aws, step: AwaitInterfaces, say: Callable[[str], None], clock: Clock) -> None:
    vpc_id = step.vpc_id

    def look() -> bool | None:
        ours = {
            interface.interface_id
            for interface in aws.ec2.interfaces_in(vpc_id)
            if not (step.spare_hosts and interface.instance_id)
        }
        return True if ours <= aws.ec2.endpoint_interfaces(vpc_id) else None

    try:
        wait_for(
            look,
            deadline_s=INTERFACES_DEADLINE_S,
            clock=clock,
            on_heartbeat=lambda waited: say(f"interfaces in {vpc_id} remain after {waited:.0f} s"),
        )
    except DeadlinePassed:
        say(f"interfaces in {vpc_id} remain; the deletion of its stack will name what they block")


def _delete_stack(aws: Aws, step: DeleteStack, say: Callable[[str], None], clock: Clock) -> None:
    for attempt in range(1, DELETE_ATTEMPTS + 1):
        try:
            delete_stack(aws, step.stack, on_event=lambda event: event.tell(say), clock=clock)
        except StackFailed as failure:
            if attempt == DELETE_ATTEMPTS or failure.aws_code != "DELETE_FAILED":
                raise
            say(f"{failure.message}; trying again")
            for bucket in step.buckets:
                empty_bucket(aws, bucket)
        else:
            return


def verify_gone(aws: Aws, deployment: str, *, failures: Sequence[AwsError] = (), clock: Clock) -> None:
    """Ask AWS again until nothing of the deployment is listed; raise `StillThere` when something stays."""
    seen: list[tuple[Leftover, ...]] = []

    def look() -> tuple[Leftover, ...] | None:
        seen.append(audit(aws, deployment))
        # What could not be looked at will not become visible by waiting.
        return None if any(leftover.looked for leftover in seen[-1]) else seen[-1]

    try:
        left = wait_for(look, deadline_s=VISIBILITY_S, clock=clock)
    except DeadlinePassed:
        left = seen[-1]
    if left:
        lines = [failure.message for failure in failures]
        lines += [f"{leftover.describe()} -> {leftover.hint}" for leftover in left]
        raise StillThere(
            f"Deployment {deployment} is not gone:\n" + "\n".join(lines),
            f"Mend that, then: amazonei teardown --name {deployment} --region {aws.region}",
            left,
        )


def teardown(aws: Aws, deployment: str, *, say: Callable[[str], None], clock: Clock) -> None:
    """Remove the deployment and prove it gone; nothing to do is success. Raises `StillThere`."""
    steps = plan_teardown(observe(aws, deployment))
    failures = perform(aws, steps, say=say, clock=clock)
    verify_gone(aws, deployment, failures=failures, clock=clock)
