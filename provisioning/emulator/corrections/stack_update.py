"""Corrections of stack updates: additions first, deletions last, and back to the old on failure."""

from __future__ import annotations

from dataclasses import dataclass, field
from dataclasses import replace as with_changes
from typing import TYPE_CHECKING, Any

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.resource_handlers import Request, handler_for
from provisioning.emulator.corrections.stack_creation import backend_of
from provisioning.emulator.corrections.stack_exports import ExportTaken, claim_exports
from provisioning.emulator.corrections.stack_ledger import (
    ResourceRecord,
    ledger_of,
    report_resource,
    report_stack,
)
from provisioning.emulator.corrections.stack_order import creation_order
from provisioning.emulator.corrections.stack_resources import (
    ResourceFailed,
    change,
    declared_resources,
    differs_in_tags_only,
    made_records,
    make,
    remove,
    request_for,
)
from provisioning.emulator.corrections.template_schemas import needs_replacement
from provisioning.emulator.corrections.wrapping import instead, wrap

if TYPE_CHECKING:
    from moto.cloudformation.models import Stack


@dataclass(slots=True, kw_only=True)
class Change:
    """What an update did so far, and what it needs to undo it."""

    template: Any
    parameters: dict[str, Any]
    tags: dict[str, str]
    resources: dict[str, Any]
    records: dict[str, ResourceRecord]
    made: list[str] = field(default_factory=list)
    changed: list[tuple[str, Request, Request]] = field(default_factory=list)  # from what, to what
    replaced: list[tuple[ResourceRecord, Any]] = field(default_factory=list)


def update_stack(
    stack: Stack, template: str, parameters: dict[str, Any] | None = None, tags: dict[str, str] | None = None
) -> None:
    """Bring the stack to a new template; after a failure it is what it was, in UPDATE_ROLLBACK_COMPLETE."""
    with ledger_of(stack).lock:
        old = _snapshot(stack)
        report_stack(stack, "UPDATE_IN_PROGRESS", "User Initiated")
        _adopt(stack, template, parameters or {}, stack.tags if tags is None else tags)
        try:
            for logical_id in creation_order(declared_resources(stack)):
                _bring(stack, logical_id, old)
            claim_exports(backend_of(stack), stack)
        except ResourceFailed as failure:
            _roll_back(
                stack, old, f"The following resource(s) failed to update: [{failure.record.logical_id}]. "
            )
        except ExportTaken as failure:
            _roll_back(stack, old, f"{failure} ")
        else:
            report_stack(stack, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
            _clean_up(stack, old)
            report_stack(stack, "UPDATE_COMPLETE")


def _snapshot(stack: Stack) -> Change:
    made = made_records(stack)
    return Change(
        template=stack.template,
        parameters=stack.parameters,
        tags=stack.tags,
        resources={name: stack.resource_map._parsed_resources.get(name) for name in made},
        records={name: with_changes(record) for name, record in made.items()},
    )


def _adopt(stack: Stack, template: Any, parameters: dict[str, Any], tags: dict[str, str]) -> None:
    kept = {name: stack.resource_map._parsed_resources.get(name) for name in made_records(stack)}
    stack.template, stack.parameters, stack.tags = template, parameters, tags
    stack._parse_template()
    stack.description = stack.template_dict.get("Description")
    stack.resource_map = stack._create_resource_map()
    stack.resource_map.cross_stack_resources = backend_of(stack).exports
    stack.resource_map._parsed_resources.update(kept)
    stack.output_map = stack._create_output_map()


def _bring(stack: Stack, logical_id: str, old: Change) -> None:
    record = made_records(stack).get(logical_id)
    if record is None:
        old.made.append(logical_id)
        make(stack, logical_id)
        return
    request = request_for(stack, logical_id)
    before = record.request
    if before is not None and (before.properties, before.tags) != (request.properties, request.tags):
        if _must_replace(record, request):
            old.replaced.append((old.records[logical_id], old.resources[logical_id]))
            old.made.append(logical_id)
            make(stack, logical_id)
        else:
            old.changed.append((logical_id, before, request))
            change(stack, record, request)


def _must_replace(record: ResourceRecord, request: Request) -> bool:
    before = record.request
    if before is None or differs_in_tags_only(request, before):
        return False
    if record.type != request.type or handler_for(record.type).update is None:
        return True
    keys = before.properties.keys() | request.properties.keys()
    changed = {key for key in keys if before.properties.get(key) != request.properties.get(key)}
    return needs_replacement(request.type, request.region, changed)


def _clean_up(stack: Stack, old: Change) -> None:
    declared = stack.resource_map._resource_json_map
    for record, resource in reversed(old.replaced):
        policy = declared[record.logical_id].get("UpdateReplacePolicy")
        _remove_old(stack, record, resource, retained=policy == "Retain")
        # The logical id belongs to the new resource from here on.
        ledger_of(stack).resources[record.logical_id] = _current(stack, record)
    before = stack.parse_template(old.template)["Resources"]
    wanted = declared_resources(stack)
    for logical_id in reversed(creation_order(before)):
        if logical_id in old.records and logical_id not in wanted:
            retained = before[logical_id].get("DeletionPolicy") in {"Retain", "RetainExceptOnCreate"}
            _remove_old(stack, old.records[logical_id], old.resources[logical_id], retained=retained)


def _current(stack: Stack, old: ResourceRecord) -> ResourceRecord:
    resource = stack.resource_map._parsed_resources[old.logical_id]
    return ResourceRecord(
        logical_id=old.logical_id,
        type=resource.cf_resource_type,
        request=request_for(stack, old.logical_id),
        physical_id=resource.physical_resource_id,
        status="UPDATE_COMPLETE",
    )


def _remove_old(stack: Stack, record: ResourceRecord, resource: Any, *, retained: bool) -> None:
    if retained:
        report_resource(stack, record, "DELETE_SKIPPED")
    else:
        remove(stack, record, resource)


def _roll_back(stack: Stack, old: Change, reason: str) -> None:
    report_stack(stack, "UPDATE_ROLLBACK_IN_PROGRESS", reason)
    made = made_records(stack)
    resources = dict(stack.resource_map._parsed_resources)
    _adopt(stack, old.template, old.parameters, old.tags)
    try:
        for logical_id, before, after in reversed(old.changed):
            # A change that failed half-way counts as made: it is taken back like the others.
            made[logical_id].request = with_changes(after, name=before.name)
            change(stack, made[logical_id], before)
    except ResourceFailed as failure:
        report_stack(
            stack,
            "UPDATE_ROLLBACK_FAILED",
            f"The following resource(s) failed to update: [{failure.record.logical_id}]. ",
        )
        return
    report_stack(stack, "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
    for logical_id in reversed(old.made):
        if logical_id in made:
            remove(stack, made[logical_id], resources.get(logical_id))
    _restore(stack, old)
    report_stack(stack, "UPDATE_ROLLBACK_COMPLETE")


def _restore(stack: Stack, old: Change) -> None:
    kept = {record.logical_id for record, _ in old.replaced}
    ledger = ledger_of(stack)
    for logical_id, record in old.records.items():
        if logical_id in kept or logical_id not in {name for name, _, _ in old.changed}:
            ledger.resources[logical_id] = record
            stack.resource_map._parsed_resources[logical_id] = old.resources[logical_id]


def _moto_update(
    stack: Stack,
    template: str,
    role_arn: str | None = None,
    parameters: dict[str, Any] | None = None,
    tags: dict[str, str] | None = None,
) -> None:
    stack.role_arn = role_arn
    update_stack(stack, template, parameters, tags)


_UPDATE = Anchor("moto.cloudformation.models:Stack.update", "5441b44ae83b604c")

CORRECTIONS = (
    Correction(
        name="cloudformation-update-rolls-back",
        statement=(
            "A failed update returns the stack to its last working state in UPDATE_ROLLBACK_COMPLETE, and "
            "resources are deleted only after the new ones exist."
        ),
        source="https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks.html",
        anchors=(
            _UPDATE,
            Anchor("moto.cloudformation.models:Stack._create_resource_map", "50a6c2119f701744"),
            Anchor("moto.cloudformation.models:Stack._create_output_map", "450cfb3655c8fa94"),
            Anchor("moto.cloudformation.parsing:ResourceMap.update", "04649ed7b7f23110"),
        ),
        install=wrap((_UPDATE, instead(_moto_update))),
    ),
)
