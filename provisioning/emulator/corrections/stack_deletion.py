"""Corrections of stack deletion: what cannot be deleted stays, and says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moto.cloudformation.exceptions import ValidationError
from moto.core.responses import ActionResult, EmptyResult

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.stack_creation import backend_of, retire
from provisioning.emulator.corrections.stack_exports import importers_of, withdraw_exports
from provisioning.emulator.corrections.stack_ledger import ledger_of, report_stack
from provisioning.emulator.corrections.stack_removal import RETAINED_AT_DELETION, remove_all, spare
from provisioning.emulator.corrections.stack_resources import made_records
from provisioning.emulator.corrections.wrapping import instead, wrap

if TYPE_CHECKING:
    from collections.abc import Collection

    from moto.cloudformation.models import CloudFormationBackend, Stack
    from moto.cloudformation.responses import CloudFormationResponse


def delete_stack(stack: Stack, *, spared: Collection[str] = (), force: bool = False) -> None:
    """Delete a stack; what fails to be deleted stays, with the stack in DELETE_FAILED."""
    backend = backend_of(stack)
    with ledger_of(stack).lock:
        if stack.stack_id not in backend.stacks or _refused_for_imports(backend, stack):
            return
        report_stack(stack, "DELETE_IN_PROGRESS", "User Initiated")
        left = remove_all(stack, spared_policies=RETAINED_AT_DELETION, spared=spared)
        if left and not force:
            report_stack(
                stack, "DELETE_FAILED", f"The following resource(s) failed to delete: [{', '.join(left)}]. "
            )
            return
        for record in made_records(stack).values():
            spare(stack, record)
        withdraw_exports(backend, stack)
        report_stack(stack, "DELETE_COMPLETE")
        retire(backend, stack)


def _refused_for_imports(backend: CloudFormationBackend, stack: Stack) -> bool:
    used = importers_of(backend, stack)
    if used is None:
        return False
    # The call succeeds, and the stack returns to the state it was in: aws/aws-cdk#604, boto/boto3#4192.
    status, (export, users) = stack.status, used
    report_stack(stack, "DELETE_IN_PROGRESS", "User Initiated")
    report_stack(stack, status, f"Export {export} cannot be deleted as it is in use by {' and '.join(users)}")
    return True


def _live_stack(backend: CloudFormationBackend, name_or_id: str) -> Stack | None:
    for stack in list(backend.stacks.values()):
        if name_or_id in {stack.name, stack.stack_id}:
            return stack
    return None


def _backend_delete_stack(backend: CloudFormationBackend, name_or_stack_id: str) -> None:
    stack = _live_stack(backend, name_or_stack_id)
    if stack is not None:
        delete_stack(stack)


def _delete_stack(response: CloudFormationResponse) -> EmptyResult:
    stack = _live_stack(response.cloudformation_backend, response._get_param("StackName"))
    if stack is None:
        return EmptyResult()  # an absent stack is a deleted stack
    retained = response._get_param("RetainResources", [])
    force = response._get_param("DeletionMode") == "FORCE_DELETE_STACK"
    _check_deletable(stack, retaining=bool(retained), force=force)
    ledger_of(stack).token = response._get_param("ClientRequestToken")
    delete_stack(stack, spared=retained, force=force)
    return EmptyResult()


def _check_deletable(stack: Stack, *, retaining: bool, force: bool) -> None:
    if stack.enable_termination_protection:
        raise ValidationError(
            message=f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled"
        )
    if (retaining or force) and stack.status != "DELETE_FAILED":
        wish = "RetainResources" if retaining else "DeletionMode FORCE_DELETE_STACK"
        raise ValidationError(
            message=f"Invalid operation on stack [{stack.stack_id}]. "
            f"{wish} can only be specified when the stack is in the DELETE_FAILED state."
        )


def _update_termination_protection(response: CloudFormationResponse) -> ActionResult:
    stack = _live_stack(response.cloudformation_backend, response._get_param("StackName"))
    if stack is None:
        raise ValidationError(message=f"Stack [{response._get_param('StackName')}] does not exist")
    stack.enable_termination_protection = response._get_bool_param("EnableTerminationProtection", False)
    return ActionResult({"StackId": stack.stack_id})


_RESPONSES = "moto.cloudformation.responses:CloudFormationResponse"
_DELETE_STACK = Anchor("moto.cloudformation.models:CloudFormationBackend.delete_stack", "27446afc46aaafa3")
_DELETE = Anchor("moto.cloudformation.models:Stack.delete", "532b875974067e3e")
_DELETE_STACK_CALL = Anchor(f"{_RESPONSES}.delete_stack", "2ecc5fb54e8ae291")
_UPDATE_TERMINATION_PROTECTION = Anchor(f"{_RESPONSES}.update_termination_protection", "")

CORRECTIONS = (
    Correction(
        name="cloudformation-delete-tells-what-stays",
        statement=(
            "A resource that cannot be deleted leaves the stack in DELETE_FAILED and is named there; the "
            "deletion can be repeated, with RetainResources if wanted, and DeletionPolicy is honoured."
        ),
        source="https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DeleteStack.html",
        anchors=(
            _DELETE_STACK,
            _DELETE,
            _DELETE_STACK_CALL,
            Anchor("moto.cloudformation.parsing:ResourceMap.delete", "f12e331fb252aff3"),
        ),
        install=wrap(
            (_DELETE_STACK, instead(_backend_delete_stack)),
            (_DELETE, instead(delete_stack)),
            (_DELETE_STACK_CALL, instead(_delete_stack)),
        ),
    ),
    Correction(
        name="cloudformation-termination-protection",
        statement="A stack with termination protection is not deleted until the protection is switched off.",
        source="https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-protect-stacks.html",
        anchors=(_UPDATE_TERMINATION_PROTECTION,),
        install=wrap((_UPDATE_TERMINATION_PROTECTION, instead(_update_termination_protection))),
    ),
)
