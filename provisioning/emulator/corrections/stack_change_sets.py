"""Corrections of change sets: they belong to one stack, and executing one is all or nothing."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from moto.cloudformation.exceptions import AlreadyExistsException, CloudFormationError, ValidationError
from moto.cloudformation.models import ChangeSet, Stack
from moto.cloudformation.utils import generate_changeset_id, validate_create_change_set
from moto.core.responses import ActionResult, EmptyResult

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.stack_creation import new_stack
from provisioning.emulator.corrections.stack_ledger import ledger_of, report_stack
from provisioning.emulator.corrections.stack_requests import (
    StackRequest,
    changes_nothing,
    check_updatable,
    on_failure,
)
from provisioning.emulator.corrections.stack_update import update_stack
from provisioning.emulator.corrections.wrapping import instead, wrap

if TYPE_CHECKING:
    from moto.cloudformation.models import CloudFormationBackend
    from moto.cloudformation.responses import CloudFormationResponse

NO_CHANGES = (
    "The submitted information didn't contain changes. Submit different information to create a change set."
)
_ENDPOINT = "AWS::SageMaker::Endpoint"
_POLL_S = 0.01


class ChangeSetNotFound(CloudFormationError):
    """The stack has no change set of this name."""

    code = "ChangeSetNotFound"


class InvalidChangeSetStatus(CloudFormationError):
    """The change set is not in a state to be executed."""

    code = "InvalidChangeSetStatus"


def _sets_of(backend: CloudFormationBackend, stack: Stack) -> list[ChangeSet]:
    return [each for each in list(backend.change_sets.values()) if each.stack_id == stack.stack_id]


def _find(response: CloudFormationResponse) -> ChangeSet:
    name, backend = response._get_param("ChangeSetName"), response.cloudformation_backend
    if name in backend.change_sets:
        return backend.change_sets[name]
    stack_name = response._get_param("StackName")
    if not stack_name:
        raise ValidationError(message="StackName must be specified unless ChangeSetName is an ARN.")
    for change_set in _sets_of(backend, backend.get_stack(stack_name)):
        if change_set.change_set_name == name:
            return change_set
    raise ChangeSetNotFound(f"ChangeSet [{name}] does not exist")


def _create_change_set(response: CloudFormationResponse) -> ActionResult:
    backend = response.cloudformation_backend
    name = response._get_param("ChangeSetName")
    validate_create_change_set(name)
    kind = response._get_param("ChangeSetType") or "UPDATE"  # AWS's default
    existing = _stack_named(backend, response._get_param("StackName"))
    stack, request = _subject(response, kind, existing)
    if any(each.change_set_name == name for each in _sets_of(backend, stack)):
        raise AlreadyExistsException(f"ChangeSet {name} already exists")
    change_set = _change_set(response, stack, request, kind)
    backend.change_sets[change_set.change_set_id] = change_set
    ledger_of(stack).on_failure = on_failure(response, "OnStackFailure")
    return ActionResult({"Id": change_set.change_set_id, "StackId": stack.stack_id})


def _stack_named(backend: CloudFormationBackend, name_or_id: str) -> Stack | None:
    for stack in list(backend.stacks.values()):
        if name_or_id in {stack.name, stack.stack_id}:
            return stack
    return None


def _subject(response: CloudFormationResponse, kind: str, stack: Stack | None) -> tuple[Stack, StackRequest]:
    name = response._get_param("StackName")
    if kind == "CREATE":
        if stack is not None and stack.status != "REVIEW_IN_PROGRESS":
            change_set = response._get_param("ChangeSetName")
            raise ValidationError(
                message=f"Stack [{name}] already exists and cannot be created again with the "
                f"changeSet [{change_set}]."
            )
        request = StackRequest.read(response)
        return stack or _reviewed_stack(response.cloudformation_backend, name, request), request
    if stack is None:
        raise ValidationError(message=f"Stack [{name}] does not exist")
    check_updatable(stack)
    return stack, StackRequest.read(response, stack)


def _reviewed_stack(backend: CloudFormationBackend, name: str, request: StackRequest) -> Stack:
    stack = new_stack(backend, name, "", {}, {"tags": request.tags})
    report_stack(stack, "REVIEW_IN_PROGRESS", "User Initiated")
    return stack


def _change_set(
    response: CloudFormationResponse, stack: Stack, request: StackRequest, kind: str
) -> ChangeSet:
    name = response._get_param("ChangeSetName")
    change_set = ChangeSet(
        change_set_type=kind,
        change_set_id=generate_changeset_id(name, response.region, response.current_account),
        change_set_name=name,
        stack=stack,
        template=request.template,
        parameters=request.parameters,
        description=response._get_param("Description"),
        notification_arns=response._get_param("NotificationARNs", []),
        tags=request.tags,
        role_arn=response._get_param("RoleARN"),
    )
    change_set.status, change_set.execution_status = "CREATE_COMPLETE", "AVAILABLE"
    if kind == "UPDATE" and changes_nothing(stack, request):
        change_set.status, change_set.execution_status = "FAILED", "UNAVAILABLE"
        change_set.status_reason = NO_CHANGES
    return change_set


def _describe_change_set(response: CloudFormationResponse) -> ActionResult:
    return ActionResult(_find(response))


def _delete_change_set(response: CloudFormationResponse) -> EmptyResult:
    try:
        change_set = _find(response)
    except ChangeSetNotFound:
        return EmptyResult()  # an absent change set is a deleted one
    response.cloudformation_backend.change_sets.pop(change_set.change_set_id, None)
    return EmptyResult()


def _list_change_sets(response: CloudFormationResponse) -> ActionResult:
    backend = response.cloudformation_backend
    stack = backend.get_stack(response._get_param("StackName"))
    return ActionResult({"Summaries": _sets_of(backend, stack)})


def _execute_change_set(response: CloudFormationResponse) -> EmptyResult:
    change_set = _find(response)
    stack, token = change_set.stack, response._get_param("ClientRequestToken")
    with ledger_of(stack).lock:
        if change_set.execution_status == "EXECUTE_COMPLETE" and token and ledger_of(stack).token == token:
            return EmptyResult()
        if change_set.execution_status != "AVAILABLE":
            raise InvalidChangeSetStatus(
                f"ChangeSet [{change_set.change_set_id}] cannot be executed in its current status of "
                f"[{change_set.status}]"
            )
        ledger_of(stack).token = token
        if response._get_bool_param("DisableRollback", False):
            ledger_of(stack).on_failure = "DO_NOTHING"
        change_set.execution_status = "EXECUTE_COMPLETE"
        if not _takes_long(change_set):
            _execute(response.cloudformation_backend, change_set)
            return EmptyResult()
    before = len(stack.events)
    operation = threading.Thread(
        target=_execute, args=(response.cloudformation_backend, change_set), daemon=True
    )
    operation.start()
    while operation.is_alive() and len(stack.events) == before:  # the caller finds the operation begun
        time.sleep(_POLL_S)
    return EmptyResult()


def _takes_long(change_set: ChangeSet) -> bool:
    """Return whether a container has to come up: no caller waits for that in one request."""
    resources = Stack.parse_template(change_set.template).get("Resources", {})
    return any(resource.get("Type") == _ENDPOINT for resource in resources.values())


def _execute(backend: CloudFormationBackend, change_set: ChangeSet) -> None:
    stack = change_set.stack
    for other in _sets_of(backend, stack):
        if other is not change_set:
            del backend.change_sets[other.change_set_id]
    if change_set.change_set_type == "UPDATE":
        update_stack(stack, change_set.template, change_set.parameters, change_set.tags)
        return
    stack.template, stack.parameters = change_set.template, change_set.parameters
    stack.tags = change_set.tags or {}
    stack._parse_template()
    stack.description = stack.template_dict.get("Description")
    stack.resource_map = stack._create_resource_map()
    stack.resource_map.cross_stack_resources = backend.exports
    stack.output_map = stack._create_output_map()
    stack.create_resources()


_RESPONSES = "moto.cloudformation.responses:CloudFormationResponse"
_CREATE_CHANGE_SET = Anchor(f"{_RESPONSES}.create_change_set", "8df34759386fdbd3")
_DESCRIBE_CHANGE_SET = Anchor(f"{_RESPONSES}.describe_change_set", "e9718edb61397730")
_DELETE_CHANGE_SET = Anchor(f"{_RESPONSES}.delete_change_set", "e90da325b8a60cfd")
_LIST_CHANGE_SETS = Anchor(f"{_RESPONSES}.list_change_sets", "cfd797621143589c")
_EXECUTE_CHANGE_SET = Anchor(f"{_RESPONSES}.execute_change_set", "75afec8d06981f10")

CORRECTIONS = (
    Correction(
        name="cloudformation-change-sets",
        statement=(
            "A change set belongs to its stack, one without changes is FAILED, and executing one deletes the "
            "stack's other change sets."
        ),
        source="https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ExecuteChangeSet.html",
        anchors=(
            _CREATE_CHANGE_SET,
            _DESCRIBE_CHANGE_SET,
            _DELETE_CHANGE_SET,
            _LIST_CHANGE_SETS,
            _EXECUTE_CHANGE_SET,
            Anchor("moto.cloudformation.models:ChangeSet.__init__", "48b7b3014357040c"),
            Anchor("moto.cloudformation.models:ChangeSet.diff", "a2c8fae4fdcdb80e"),
        ),
        install=wrap(
            (_CREATE_CHANGE_SET, instead(_create_change_set)),
            (_DESCRIBE_CHANGE_SET, instead(_describe_change_set)),
            (_DELETE_CHANGE_SET, instead(_delete_change_set)),
            (_LIST_CHANGE_SETS, instead(_list_change_sets)),
            (_EXECUTE_CHANGE_SET, instead(_execute_change_set)),
        ),
    ),
)
