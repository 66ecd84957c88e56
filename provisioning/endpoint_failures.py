"""Why a SageMaker endpoint failed: SageMaker's reason and the container's log, read before it is deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artifacts.errors import AmazoneiError
from provisioning.deploying import delete_stack
from provisioning.errors import AwsError, EndpointFailed, StackFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provisioning.aws.cloudformation import StackEvent
    from provisioning.endpoints import EndpointPlan
    from provisioning.operations import HostCalls

LOG_GROUP = "/aws/sagemaker/Endpoints/"
LOG_LINES = 25
ENDPOINT_TYPE = "AWS::SageMaker::Endpoint"


def read_reason(calls: HostCalls, name: str, heard: Sequence[StackEvent]) -> str:
    """Return why the endpoint failed, or "" when it was something else that did."""
    told = [event.reason for event in heard if event.failed and event.type == ENDPOINT_TYPE]
    if not told:
        return ""
    try:
        return calls.aws.sagemaker.endpoint(name).failure or told[0]
    except AwsError:
        return told[0]


def read_log(calls: HostCalls, name: str, began: float) -> tuple[str, ...]:
    """Return the last lines of the newest container, or nothing where none of them can be read."""
    try:
        streams = calls.aws.logs.streams_since(f"{LOG_GROUP}{name}", began)
        return calls.aws.logs.tail(f"{LOG_GROUP}{name}", streams[-1], LOG_LINES) if streams else ()
    except AwsError as error:
        return (f"(it could not be read: {error.message})",)


def explained(
    calls: HostCalls, plan: EndpointPlan, failure: StackFailed, told: tuple[str, Sequence[str]]
) -> AwsError:
    """Return the failure with what SageMaker and the container say, once what never served is deleted.

    Where that cannot be deleted, it is told as well, and not instead: nobody could read the reason again.
    """
    left = ""
    try:
        hint = _clear(calls, plan.step.stack.name)
    except AmazoneiError as error:
        left = f"\nWhat is left of the endpoint could not be deleted: {error.message}"
        hint = f"{error.hint} `amazonei teardown` deletes it with the rest.".lstrip()
    reason, lines = told
    call = {"operation": failure.operation, "aws_code": failure.aws_code}
    if reason:
        indented = (f"  {line}" for line in lines)
        log = "".join(f"\n{line}" for line in ("The end of the container's log:", *indented)) if lines else ""
        return EndpointFailed(f"Endpoint {plan.name} failed: {reason}{log}{left}", hint, **call)
    return StackFailed(f"{failure.message}{left}", hint, **call) if left else failure


def _clear(calls: HostCalls, name: str) -> str:
    """Delete a stack whose endpoint never served; return what there is of the endpoint now."""
    stack = calls.aws.cloudformation.describe_stack(name)
    if stack is not None and stack.status != "CREATE_FAILED":
        return "The version from before serves on."
    if stack is not None:
        calls.say(f"deleting stack {name}, whose endpoint never served")
        delete_stack(calls.aws, stack, on_event=lambda event: event.tell(calls.say), clock=calls.clock)
    return "Nothing of the endpoint is left."
