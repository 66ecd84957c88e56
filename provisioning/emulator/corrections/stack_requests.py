"""Corrections of CreateStack and UpdateStack as calls: what they refuse, and what they remember."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from moto.cloudformation.exceptions import ValidationError
from moto.core.responses import ActionResult

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.stack_creation import new_stack
from provisioning.emulator.corrections.stack_ledger import ledger_of
from provisioning.emulator.corrections.stack_update import update_stack
from provisioning.emulator.corrections.template_parameters import check_parameters
from provisioning.emulator.corrections.template_validation import (
    check_capabilities,
    check_size,
    check_template,
    parse_template,
)
from provisioning.emulator.corrections.wrapping import instead, wrap

if TYPE_CHECKING:
    from moto.cloudformation.models import Stack
    from moto.cloudformation.responses import CloudFormationResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRequest:
    """What a caller asks for, checked: CreateStack, UpdateStack and CreateChangeSet share it."""

    template: str
    parameters: dict[str, str]
    tags: dict[str, str] | None  # None where the call names no tags

    @classmethod
    def read(cls, response: CloudFormationResponse, previous: Stack | None = None) -> StackRequest:
        """Read and check a call; `previous` is the stack that "use previous" refers to."""
        template = _template_text(response, previous)
        parsed = parse_template(template)
        check_template(parsed, response.region)
        check_capabilities(parsed, response._get_param("Capabilities", []))
        parameters = _parameters(response, previous)
        check_parameters(parsed, parameters)
        tags = response._get_param("Tags")
        return cls(
            template=template,
            parameters=parameters,
            tags=None if tags is None else {tag["Key"]: tag["Value"] for tag in tags},
        )


def _template_text(response: CloudFormationResponse, previous: Stack | None) -> str:
    body, url = response._get_param("TemplateBody"), response._get_param("TemplateURL")
    reused = response._get_bool_param("UsePreviousTemplate", False)
    if sum(map(bool, (body, url, reused))) != 1:
        raise ValidationError(message="Either Template URL or Template Body must be specified.")
    if reused:
        if previous is None:
            raise ValidationError(message="UsePreviousTemplate needs an existing stack.")
        return str(previous.template)
    if url:
        return response._get_stack_from_s3_url(url)
    check_size(body)
    return str(body)


def _parameters(response: CloudFormationResponse, previous: Stack | None) -> dict[str, str]:
    before = previous.parameters if previous else {}
    values: dict[str, str] = {}
    for entry in response._get_param("Parameters", []):
        name = entry["ParameterKey"]
        if not entry.get("UsePreviousValue"):
            values[name] = entry.get("ParameterValue", "")
        elif name in before:
            # The raw value: an SSM parameter's name is looked up again, as AWS does.
            values[name] = before[name]
    return values


def check_updatable(stack: Stack) -> None:
    """Refuse an update of a stack that is not in a state to be updated."""
    if stack.status not in {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}:
        raise ValidationError(
            message=f"Stack:{stack.stack_id} is in {stack.status} state and can not be updated."
        )


def changes_nothing(stack: Stack, request: StackRequest) -> bool:
    """Return whether an update would leave template, parameters and tags as they are."""
    same_tags = request.tags is None or request.tags == stack.tags
    return same_tags and stack.has_template(request.template) and stack.has_parameters(request.parameters)


def _create_stack(response: CloudFormationResponse) -> ActionResult:
    backend, name = response.cloudformation_backend, response._get_param("StackName")
    token = response._get_param("ClientRequestToken")
    for stack in list(backend.stacks.values()):
        if token and stack.name == name and ledger_of(stack).creation_token == token:
            return ActionResult({"StackId": stack.stack_id})
    request = StackRequest.read(response)
    stack = new_stack(backend, name, request.template, request.parameters, _settings(response, request))
    ledger = ledger_of(stack)
    ledger.token = ledger.creation_token = token
    ledger.on_failure = on_failure(response, "OnFailure")
    stack.create_resources()
    return ActionResult({"StackId": stack.stack_id})


def _settings(response: CloudFormationResponse, request: StackRequest) -> dict[str, Any]:
    return {
        "tags": request.tags,
        "notification_arns": response._get_param("NotificationARNs", []),
        "role_arn": response._get_param("RoleARN"),
        "enable_termination_protection": response._get_bool_param("EnableTerminationProtection", False),
        "timeout_in_mins": response._get_param("TimeoutInMinutes"),
        "stack_policy_body": response._get_param("StackPolicyBody"),
    }


def on_failure(response: CloudFormationResponse, option: str) -> str:
    """Return what the caller wants done with a stack that fails to be created."""
    if response._get_bool_param("DisableRollback", False):
        return "DO_NOTHING"
    return str(response._get_param(option) or "ROLLBACK")


def _update_stack(response: CloudFormationResponse) -> ActionResult:
    stack = response.cloudformation_backend.get_stack(response._get_param("StackName"))
    check_updatable(stack)
    request = StackRequest.read(response, stack)
    if changes_nothing(stack, request):
        raise ValidationError(message="No updates are to be performed.")
    ledger_of(stack).token = response._get_param("ClientRequestToken")
    update_stack(stack, request.template, request.parameters, request.tags)
    return ActionResult({"StackId": stack.stack_id})


_RESPONSES = "moto.cloudformation.responses:CloudFormationResponse"
_CREATE_STACK = Anchor(f"{_RESPONSES}.create_stack", "660dce4c9dc32b43")
_UPDATE_STACK = Anchor(f"{_RESPONSES}.update_stack", "cad5ffd0166f8a41")

CORRECTIONS = (
    Correction(
        name="cloudformation-calls-check-first",
        statement=(
            "CreateStack and UpdateStack refuse what cannot work (template, parameters, capabilities, the "
            "stack's state) before anything is made, and a repeated ClientRequestToken makes nothing twice."
        ),
        source="https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html",
        anchors=(
            _CREATE_STACK,
            _UPDATE_STACK,
            Anchor("moto.cloudformation.models:Stack.has_template", "ca741ccf7c17a91b"),
            Anchor("moto.cloudformation.models:Stack.has_parameters", "0658e475da0af668"),
        ),
        install=wrap((_CREATE_STACK, instead(_create_stack)), (_UPDATE_STACK, instead(_update_stack))),
    ),
)
