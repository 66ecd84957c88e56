"""Bring one CloudFormation stack to the wanted state, or delete it, with its events as live progress.

CloudFormation is the record of what exists and the lock: a stack is changed by change set only, nothing
but a stack that carries the deployment's tag is touched, and a failure is told by its first failed event.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from artifacts.errors import BadRequest
from provisioning.aws.cloudformation import ChangeSetRequest
from provisioning.deployment import TAG_DEPLOYMENT
from provisioning.errors import NotFound, StackFailed
from provisioning.ownership import is_own
from provisioning.waiting import DeadlinePassed, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from provisioning.aws import Aws
    from provisioning.aws.cloudformation import ChangeSetRecord, StackEvent, StackRecord
    from provisioning.waiting import Clock

CHANGE_SET_DEADLINE_S = 5 * 60.0
STACK_DEADLINE_S = 45 * 60.0  # a Trainium host alone may take over 15 minutes to terminate

DEPLOYED = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE"})
# Such a stack cannot be updated, only deleted.
STILLBORN = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRequest:
    """The state a stack is to have; `token` makes a repeated request the same request."""

    name: str
    body: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]  # with the deployment's tag
    token: str
    deadline_s: float = STACK_DEADLINE_S
    keep_failed: bool = False  # a creation that fails is left for whoever wants to look at it, and deletes it


def deploy_stack(
    aws: Aws,
    request: StackRequest,
    *,
    on_event: Callable[[StackEvent], None],
    clock: Clock,
    on_heartbeat: Callable[[float], None] | None = None,
) -> Mapping[str, str]:
    """Create or update the stack by change set and return its outputs; repeating it changes nothing.

    Raises `BadRequest` when a stack of that name is not the deployment's, and `StackFailed` with the first
    failed event once the rollback has ended.
    """
    follower = Follower(aws, on_event, clock, on_heartbeat)
    kind = _clear_the_way(request, follower)
    change_set = _propose(aws, request, kind, clock)
    if change_set.empty:
        aws.cloudformation.delete_change_set(request.name, change_set.name)
    elif change_set.status == "FAILED":
        _withdraw(request, change_set, kind, follower)
        raise StackFailed(
            f"CloudFormation refused the change set of stack {request.name}: {change_set.reason}",
            operation="cloudformation:CreateChangeSet",
            aws_code=change_set.status,
        )
    else:
        # An update that fails goes back whatever is wished: what served before has to serve on.
        _execute(request, change_set, follower, keep_failed=request.keep_failed and kind == "CREATE")
    stack = aws.cloudformation.describe_stack(request.name)
    return stack.outputs if stack else {}


def delete_stack(
    aws: Aws,
    stack: StackRecord,
    *,
    on_event: Callable[[StackEvent], None],
    clock: Clock,
    on_heartbeat: Callable[[float], None] | None = None,
) -> None:
    """Delete the stack and wait until it is gone; a stack that is gone already is success.

    The caller has made sure that the stack is the deployment's. Raises `StackFailed` naming what could not
    be deleted, and when termination protection is on.
    """
    refuse_protected(stack, aws.region)
    _delete(stack, Follower(aws, on_event, clock, on_heartbeat))


def refuse_protected(stack: StackRecord, region: str) -> None:
    """Raise `StackFailed` with the remedy when termination protection is on."""
    if stack.protected:
        raise StackFailed(
            f"Termination protection of stack {stack.name} is on; it was left as it is.",
            "Switch it off with: aws cloudformation update-termination-protection "
            f"--no-enable-termination-protection --stack-name {stack.name} --region {region}",
            operation="cloudformation:DeleteStack",
            aws_code="TerminationProtection",
        )


@dataclass(frozen=True, slots=True)
class Follower:
    """Follows the events of a stack to the end of an operation, telling each event once, in order."""

    aws: Aws
    on_event: Callable[[StackEvent], None]
    clock: Clock
    on_heartbeat: Callable[[float], None] | None = None

    def cursor(self, stack: str) -> str | None:
        """Return the id of the newest event, to start after it."""
        events = self.aws.cloudformation.events(stack)
        return events[-1].id if events else None

    def follow(self, stack: str, after: str | None, deadline_s: float) -> tuple[StackEvent, ...]:
        """Return the events after `after` up to the one that ends the operation, or the stack."""
        seen: list[StackEvent] = []

        def look() -> tuple[StackEvent, ...] | None:
            gone = self._is_gone(stack)
            for event in self.aws.cloudformation.events(stack, seen[-1].id if seen else after):
                seen.append(event)
                self.on_event(event)
            return tuple(seen) if gone or any(event.ends_operation for event in seen) else None

        try:
            return wait_for(look, deadline_s=deadline_s, clock=self.clock, on_heartbeat=self.on_heartbeat)
        except NotFound:
            return tuple(seen)  # a stack that was only in review leaves no history behind
        except DeadlinePassed:
            raise StackFailed(
                f"Stack {stack} had not settled after {deadline_s / 60:.0f} minutes.",
                "CloudFormation goes on by itself; run the command again to go on waiting.",
                aws_code="DeadlinePassed",
            ) from None

    def _is_gone(self, stack: str) -> bool:
        record = self.aws.cloudformation.describe_stack(stack)
        return record is None or record.status == "DELETE_COMPLETE"


def _clear_the_way(request: StackRequest, follower: Follower) -> Literal["CREATE", "UPDATE"]:
    """Let a running operation end and remove a stillborn stack; return the kind of change set to make."""
    stack = _own_stack(follower.aws, request)
    if stack is not None and stack.in_progress:
        stack = _settled(request, follower)
    if stack is not None and stack.status in STILLBORN:
        refuse_protected(stack, follower.aws.region)
        _delete(stack, follower)
        stack = None
    return "CREATE" if stack is None or stack.in_review else "UPDATE"


def _own_stack(aws: Aws, request: StackRequest) -> StackRecord | None:
    stack = aws.cloudformation.describe_stack(request.name)
    deployment = request.tags[TAG_DEPLOYMENT]
    if stack is None or is_own(aws, stack, deployment):
        return stack
    raise BadRequest(
        f"Stack {request.name} exists in {aws.region} and is not part of deployment {deployment}; "
        "it was left as it is.",
        "Choose another --name.",
    )


def _settled(request: StackRequest, follower: Follower) -> StackRecord | None:
    """Wait for the operation somebody else (or an interrupted run) has begun."""

    def look() -> tuple[StackRecord | None] | None:
        stack = follower.aws.cloudformation.describe_stack(request.name)
        return None if stack is not None and stack.in_progress else (stack,)

    try:
        return wait_for(
            look,
            deadline_s=request.deadline_s,
            clock=follower.clock,
            on_heartbeat=follower.on_heartbeat,
        )[0]
    except DeadlinePassed:
        raise StackFailed(
            f"Another operation on stack {request.name} did not end.", "Run the command again later."
        ) from None


def _propose(
    aws: Aws, request: StackRequest, kind: Literal["CREATE", "UPDATE"], clock: Clock
) -> ChangeSetRecord:
    wanted = ChangeSetRequest(
        stack=request.name,
        name=f"amazonei-{request.token}",
        kind=kind,
        body=request.body,
        parameters=request.parameters,
        tags=request.tags,
        token=request.token,
    )
    aws.cloudformation.create_change_set(wanted)

    def look() -> ChangeSetRecord | None:
        change_set = aws.cloudformation.describe_change_set(request.name, wanted.name)
        return None if change_set.pending else change_set

    try:
        return wait_for(look, deadline_s=CHANGE_SET_DEADLINE_S, clock=clock)
    except DeadlinePassed:
        raise StackFailed(f"CloudFormation did not finish the change set of {request.name}.") from None


def _withdraw(request: StackRequest, change_set: ChangeSetRecord, kind: str, follower: Follower) -> None:
    """Drop a refused change set, and the empty stack that came with it."""
    follower.aws.cloudformation.delete_change_set(request.name, change_set.name)
    stack = follower.aws.cloudformation.describe_stack(request.name)
    if kind == "CREATE" and stack is not None and stack.in_review:
        _delete(stack, follower)


def _execute(
    request: StackRequest, change_set: ChangeSetRecord, follower: Follower, *, keep_failed: bool
) -> None:
    before = follower.cursor(request.name)
    follower.aws.cloudformation.execute_change_set(
        request.name, change_set.name, request.token, keep_failed=keep_failed
    )
    events = follower.follow(request.name, before, request.deadline_s)
    if not events or events[-1].status not in DEPLOYED:
        raise _failure(request.name, events)


def _delete(stack: StackRecord, follower: Follower) -> None:
    before = follower.cursor(stack.id)
    # The same deletion has the same token; one that follows a failed deletion has another.
    token = hashlib.sha256(f"{stack.id} {before}".encode()).hexdigest()[:32]
    follower.aws.cloudformation.delete_stack(stack.id, f"amazonei-{token}")
    events = follower.follow(stack.id, before, STACK_DEADLINE_S)
    if events and events[-1].status == "DELETE_FAILED":
        raise _failure(stack.name, events)


def _failure(stack: str, events: tuple[StackEvent, ...]) -> StackFailed:
    if not events:
        return StackFailed(f"Stack {stack} was deleted while it was being deployed.")
    failed = [event for event in events if event.failed and not event.ends_operation]
    end = events[-1]
    if end.status == "DELETE_FAILED":
        names = "; ".join(event.describe() for event in failed) or end.reason
        message = f"Stack {stack} could not be deleted: {names}"
    elif failed:
        message = f"Stack {stack} failed at {failed[0].describe()}"
    else:
        message = f"Stack {stack} ended {end.status}: {end.reason}"
    return StackFailed(
        message,
        "Nothing of the failed change is left." if end.status.endswith("ROLLBACK_COMPLETE") else "",
        operation="cloudformation:ExecuteChangeSet",
        aws_code=end.status,
    )
