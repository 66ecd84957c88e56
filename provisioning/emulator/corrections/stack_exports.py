"""Exports of a stack: unique in a region, and in use by the stacks that import them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.cloudformation import parsing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from moto.cloudformation.models import CloudFormationBackend, Stack


class ExportTaken(Exception):
    """Another stack of the region exports this name."""


def claim_exports(backend: CloudFormationBackend, stack: Stack) -> None:
    """Publish what the stack exports now and withdraw what it no longer exports; raise `ExportTaken`."""
    exports = {export.name: export for export in _live_exports(stack)}
    for name in exports:
        owner = backend.exports.get(name)
        if owner is not None and owner.exporting_stack_id != stack.stack_id:
            other = backend.stacks[owner.exporting_stack_id].name
            raise ExportTaken(f"Export with name {name} is already exported by stack {other}.")
    withdraw_exports(backend, stack)
    backend.exports.update(exports)


def _live_exports(stack: Stack) -> Iterator[parsing.Export]:
    conditions = stack.resource_map.lazy_condition_map
    for output in (stack.template_dict.get("Outputs") or {}).values():
        if output.get("Export") and ("Condition" not in output or conditions[output["Condition"]]):
            name = parsing.clean_json(output["Export"]["Name"], stack.resource_map)
            yield parsing.Export(
                stack.stack_id, name, parsing.clean_json(output["Value"], stack.resource_map)
            )


def withdraw_exports(backend: CloudFormationBackend, stack: Stack) -> None:
    """Take the stack's exports back."""
    for name, export in list(backend.exports.items()):
        if export.exporting_stack_id == stack.stack_id:
            del backend.exports[name]


def importers_of(backend: CloudFormationBackend, stack: Stack) -> tuple[str, tuple[str, ...]] | None:
    """Return the first export of the stack that others import, and the names of those stacks."""
    for name, export in backend.exports.items():
        if export.exporting_stack_id == stack.stack_id:
            users = tuple(other.name for other in list(backend.stacks.values()) if name in _imports(other))
            if users:
                return name, users
    return None


def _imports(stack: Stack) -> set[str]:
    if stack.status == "ROLLBACK_COMPLETE":
        return set()
    sections = (stack.template_dict.get("Resources"), stack.template_dict.get("Outputs"))
    return {str(parsing.clean_json(name, stack.resource_map)) for name in _imported_names(list(sections))}


def _imported_names(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        if "Fn::ImportValue" in value:
            yield value["Fn::ImportValue"]
        for inner in value.values():
            yield from _imported_names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _imported_names(inner)
