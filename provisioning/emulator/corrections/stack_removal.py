"""The resources of a stack deleted in reverse order of their making, and what is spared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provisioning.emulator.corrections.stack_ledger import ResourceRecord, report_resource
from provisioning.emulator.corrections.stack_order import creation_order, dependencies
from provisioning.emulator.corrections.stack_resources import made_records, remove_made

if TYPE_CHECKING:
    from collections.abc import Collection

    from moto.cloudformation.models import Stack

RETAINED_AT_DELETION = frozenset({"Retain", "RetainExceptOnCreate"})
RETAINED_AT_ROLLBACK = frozenset({"Retain"})


def remove_all(stack: Stack, *, spared_policies: Collection[str], spared: Collection[str] = ()) -> list[str]:
    """Delete what the stack made, latest first, and return the logical ids that could not be deleted.

    A resource that one of the failed ones needs is left alone, as CloudFormation leaves it.
    """
    declared = stack.resource_map._resource_json_map
    needs = dependencies(declared)
    made = made_records(stack)
    failed: list[str] = []
    for logical_id in reversed(creation_order(declared)):
        record = made.get(logical_id)
        if record is None or any(logical_id in needs[other] for other in failed):
            continue
        policy = declared[logical_id].get("DeletionPolicy", "Delete")
        if policy in spared_policies or logical_id in spared:
            spare(stack, record)
        elif not remove_made(stack, record):
            failed.append(logical_id)
    return failed


def spare(stack: Stack, record: ResourceRecord) -> None:
    """Leave a resource where it is, and forget that the stack made it."""
    report_resource(stack, record, "DELETE_SKIPPED")
    stack.resource_map._parsed_resources.pop(record.logical_id, None)
    record.physical_id = ""
