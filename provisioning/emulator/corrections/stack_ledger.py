"""What CloudFormation remembers of a stack and moto does not: a record and the events of each resource."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import Event, Stack
from moto.core.responses import ActionResult
from moto.core.utils import utcnow

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.wrapping import instead, wrap

if TYPE_CHECKING:
    from datetime import datetime

    from moto.cloudformation.responses import CloudFormationResponse

    from provisioning.emulator.corrections.resource_handlers import Request

STATES_WITH_OUTPUTS = frozenset(
    {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"}
)


@dataclass(slots=True, kw_only=True)
class ResourceRecord:
    """One resource of a stack, as DescribeStackResources tells it."""

    logical_id: str
    type: str
    request: Request | None = None  # what it was made from
    physical_id: str = ""
    status: str = ""
    reason: str | None = None
    at: datetime = field(default_factory=utcnow)

    @property
    def exists(self) -> bool:
        """Return whether the resource was made and not deleted since."""
        return bool(self.physical_id) and self.status != "DELETE_COMPLETE"


@dataclass(slots=True, kw_only=True)
class Ledger:
    """The memory of one stack; `lock` is held by the one operation that may change it."""

    resources: dict[str, ResourceRecord] = field(default_factory=dict)
    reason: str | None = None
    token: str | None = None  # the ClientRequestToken of the operation under way
    creation_token: str | None = None
    on_failure: str = "ROLLBACK"
    lock: threading.RLock = field(default_factory=threading.RLock)


_LEDGERS: WeakKeyDictionary[Stack, Ledger] = WeakKeyDictionary()


def ledger_of(stack: Stack) -> Ledger:
    """Return the ledger of a stack; an empty one for a stack that has none yet."""
    return _LEDGERS.setdefault(stack, Ledger())


def report_stack(stack: Stack, status: str, reason: str | None = None) -> None:
    """Give the stack a status, and write the event that says so."""
    stack.status = status
    ledger_of(stack).reason = reason
    _write_event(stack, (stack.name, stack.stack_id, "AWS::CloudFormation::Stack"), (status, reason))


def report_resource(stack: Stack, record: ResourceRecord, status: str, reason: str | None = None) -> None:
    """Give a resource of the stack a status, and write the event that says so."""
    record.status, record.reason, record.at = status, reason, utcnow()
    ledger_of(stack).resources[record.logical_id] = record
    _write_event(stack, (record.logical_id, record.physical_id, record.type), (status, reason))


def _write_event(stack: Stack, subject: tuple[str, str, str], outcome: tuple[str, str | None]) -> None:
    event = Event(stack.stack_id, stack.name, *subject, *outcome, resource_properties=None)
    event.client_request_token = ledger_of(stack).token  # type: ignore[assignment]
    event.sendToSns(stack.account_id, stack.region_name, stack.notification_arns)
    stack.events.append(event)


def described_resource(stack: Stack, record: ResourceRecord) -> dict[str, Any]:
    """Return a resource in the words of DescribeStackResources and ListStackResources."""
    return {
        "StackName": stack.name,
        "StackId": stack.stack_id,
        "LogicalResourceId": record.logical_id,
        "PhysicalResourceId": record.physical_id or None,
        "ResourceType": record.type,
        "ResourceStatus": record.status,
        "ResourceStatusReason": record.reason,
        "Timestamp": record.at,
        "LastUpdatedTimestamp": record.at,
    }


def _records(response: CloudFormationResponse) -> tuple[Stack, list[ResourceRecord]]:
    stack = response.cloudformation_backend.get_stack(response._get_param("StackName"))
    return stack, list(ledger_of(stack).resources.values())


def _describe_stack_resources(response: CloudFormationResponse) -> ActionResult:
    stack, records = _records(response)
    wanted = response._get_param("LogicalResourceId")
    described = [described_resource(stack, r) for r in records if wanted in (None, r.logical_id)]
    return ActionResult({"StackResources": described})


def _describe_stack_resource(response: CloudFormationResponse) -> ActionResult:
    stack, records = _records(response)
    wanted = response._get_param("LogicalResourceId")
    for record in records:
        if record.logical_id == wanted:
            return ActionResult({"StackResourceDetail": described_resource(stack, record)})
    raise ValidationError(message=f"Resource {wanted} does not exist for stack {stack.name}")


def _list_stack_resources(response: CloudFormationResponse) -> ActionResult:
    stack, records = _records(response)
    return ActionResult({"StackResourceSummaries": [described_resource(stack, r) for r in records]})


def _outputs(stack: Stack) -> list[dict[str, Any]] | None:
    # moto makes a resource when an output names it; a stack that failed or is gone has no outputs.
    if stack.status not in STATES_WITH_OUTPUTS:
        return None
    outputs: list[dict[str, Any]] | None = _moto_outputs(stack)
    return outputs


_moto_outputs: Any = vars(Stack)["outputs"].fget
_outputs_property: Any = property(_outputs)
_reason_property: Any = property(lambda stack: ledger_of(stack).reason)


_RESPONSES = "moto.cloudformation.responses:CloudFormationResponse"
_STACK_STATUS_REASON = Anchor("moto.cloudformation.models:Stack.stack_status_reason", "")
_OUTPUTS = Anchor("moto.cloudformation.models:Stack.outputs", "")
_DESCRIBE_STACK_RESOURCES = Anchor(f"{_RESPONSES}.describe_stack_resources", "b9525daa8949f05f")
_DESCRIBE_STACK_RESOURCE = Anchor(f"{_RESPONSES}.describe_stack_resource", "95775697dd097540")
_LIST_STACK_RESOURCES = Anchor(f"{_RESPONSES}.list_stack_resources", "a0c0e10244371996")

CORRECTIONS = (
    Correction(
        name="cloudformation-resource-status",
        statement="Each resource of a stack has a status, a reason and a time of its own.",
        source="https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_StackResource.html",
        anchors=(
            _STACK_STATUS_REASON,
            _DESCRIBE_STACK_RESOURCES,
            _DESCRIBE_STACK_RESOURCE,
            _LIST_STACK_RESOURCES,
            Anchor("moto.cloudformation.models:Event.__init__", "99f62e39d6e814b5"),
        ),
        install=wrap(
            (_STACK_STATUS_REASON, instead(_reason_property)),
            (_OUTPUTS, instead(_outputs_property)),
            (_DESCRIBE_STACK_RESOURCES, instead(_describe_stack_resources)),
            (_DESCRIBE_STACK_RESOURCE, instead(_describe_stack_resource)),
            (_LIST_STACK_RESOURCES, instead(_list_stack_resources)),
        ),
    ),
)
