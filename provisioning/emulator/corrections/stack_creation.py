"""Corrections of stack creation: all or nothing, one event per step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.cloudformation.exceptions import AlreadyExistsException
from moto.cloudformation.models import CloudFormationBackend, Stack, cloudformation_backends
from moto.cloudformation.utils import generate_stack_id

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.stack_exports import ExportTaken, claim_exports
from provisioning.emulator.corrections.stack_ledger import ledger_of, report_resource, report_stack
from provisioning.emulator.corrections.stack_order import creation_order
from provisioning.emulator.corrections.stack_removal import RETAINED_AT_ROLLBACK, remove_all
from provisioning.emulator.corrections.stack_resources import ResourceFailed, declared_resources, make
from provisioning.emulator.corrections.wrapping import instead, wrap

if TYPE_CHECKING:
    from collections.abc import Mapping


def backend_of(stack: Stack) -> CloudFormationBackend:
    """Return the backend that holds a stack."""
    return cloudformation_backends[stack.account_id][stack.region_name]


def create_resources(stack: Stack) -> None:
    """Make every resource of the stack, or delete what was made; the caller is never told by an exception."""
    with ledger_of(stack).lock:
        report_stack(stack, "CREATE_IN_PROGRESS", "User Initiated")
        try:
            for logical_id in creation_order(declared_resources(stack)):
                make(stack, logical_id)
            claim_exports(backend_of(stack), stack)
        except ResourceFailed as failure:
            names = failure.record.logical_id
            _fail(stack, f"The following resource(s) failed to create: [{names}]. ", failure)
        except ExportTaken as failure:
            _fail(stack, f"{failure} ", None)
        else:
            report_stack(stack, "CREATE_COMPLETE")


def _fail(stack: Stack, reason: str, failure: ResourceFailed | None) -> None:
    wish = ledger_of(stack).on_failure
    if wish == "DO_NOTHING":
        report_stack(stack, "CREATE_FAILED", reason.strip())
        return
    deletion = wish == "DELETE"
    report_stack(
        stack,
        "DELETE_IN_PROGRESS" if deletion else "ROLLBACK_IN_PROGRESS",
        f"{reason}{'Delete' if deletion else 'Rollback'} requested by user.",
    )
    if failure and not failure.record.physical_id:
        report_resource(stack, failure.record, "DELETE_COMPLETE")
    left = remove_all(stack, spared_policies=RETAINED_AT_ROLLBACK)
    if left:
        names = ", ".join(left)
        status = "DELETE_FAILED" if deletion else "ROLLBACK_FAILED"
        report_stack(stack, status, f"The following resource(s) failed to delete: [{names}]. ")
    elif deletion:
        report_stack(stack, "DELETE_COMPLETE")
        retire(backend_of(stack), stack)
    else:
        report_stack(stack, "ROLLBACK_COMPLETE")
        ledger_of(stack).reason = reason.strip()


def retire(backend: CloudFormationBackend, stack: Stack) -> None:
    """Move a deleted stack to where only its id finds it, and drop its change sets."""
    backend.stacks.pop(stack.stack_id, None)
    backend.deleted_stacks[stack.stack_id] = stack
    for change_set_id, change_set in list(backend.change_sets.items()):
        if change_set.stack_id == stack.stack_id:
            del backend.change_sets[change_set_id]


def _create_stack(
    backend: CloudFormationBackend, name: str, template: str, parameters: dict[str, Any], **settings: Any
) -> Stack:
    stack = new_stack(backend, name, template, parameters, settings)
    stack.create_resources()
    return stack


def new_stack(
    backend: CloudFormationBackend,
    name: str,
    template: str,
    parameters: dict[str, Any],
    settings: Mapping[str, Any],
) -> Stack:
    """Put a stack without resources into the backend; its template and parameters are checked here."""
    if any(stack.name == name for stack in list(backend.stacks.values())):
        raise AlreadyExistsException(f"Stack [{name}] already exists")
    stack: Stack = Stack(  # type: ignore[abstract]  # moto makes it itself, abstract or not
        stack_id=generate_stack_id(name, backend.region_name, backend.account_id),
        name=name,
        template=template or {},
        parameters=parameters,
        account_id=backend.account_id,
        region_name=backend.region_name,
        cross_stack_resources=backend.exports,
        **settings,
    )
    # moto replaces an empty dict of exports by a new one, which would never hear of later exports.
    stack.cross_stack_resources = stack.resource_map.cross_stack_resources = backend.exports
    backend.stacks[stack.stack_id] = stack
    return stack


_CREATE_RESOURCES = Anchor("moto.cloudformation.models:Stack.create_resources", "f18523edd6613a12")
_CREATE_STACK = Anchor("moto.cloudformation.models:CloudFormationBackend.create_stack", "456419c5b10f87fb")

CORRECTIONS = (
    Correction(
        name="cloudformation-create-is-atomic",
        statement=(
            "When a resource fails to be created, the resources made so far are deleted and the stack ends "
            "in ROLLBACK_COMPLETE; the call that began it has succeeded, and the events say what failed."
        ),
        source="https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stack-failure-options.html",
        anchors=(
            _CREATE_RESOURCES,
            Anchor("moto.cloudformation.models:Stack.__init__", "86101b3e09f0e4eb"),
            _CREATE_STACK,
            Anchor("moto.cloudformation.parsing:ResourceMap.__init__", "8431c43296327b20"),
            Anchor("moto.cloudformation.parsing:ResourceMap.load", "1c35b3591b5b0419"),
        ),
        install=wrap((_CREATE_RESOURCES, instead(create_resources)), (_CREATE_STACK, instead(_create_stack))),
    ),
)
