"""In which order the resources of a template are made: each after those it names (pure)."""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from moto.cloudformation.exceptions import ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SUB_NAME = re.compile(r"\$\{([^!${}][^${}]*)\}")


def references(value: Any) -> Iterator[tuple[str, str | None]]:
    """Yield each name a part of a template refers to, with the attribute for a Fn::GetAtt."""
    if isinstance(value, dict):
        yield from _intrinsic_references(value)
        for key, inner in value.items():
            if key != "Fn::GetAtt":
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def _intrinsic_references(value: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    if isinstance(value.get("Ref"), str):
        yield value["Ref"], None
    if "Fn::GetAtt" in value:
        parts = value["Fn::GetAtt"]
        name, attribute = parts.split(".", 1) if isinstance(parts, str) else (parts[0], parts[1])
        yield name, attribute if isinstance(attribute, str) else None
    if "Fn::Sub" in value:
        yield from _substituted_names(value["Fn::Sub"])


def _substituted_names(argument: str | list[Any]) -> Iterator[tuple[str, str | None]]:
    text, own = (argument, {}) if isinstance(argument, str) else (argument[0], argument[1])
    for name in _SUB_NAME.findall(text):
        if name not in own:
            base, _, attribute = name.partition(".")
            yield base, attribute or None


def dependencies(resources: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return for each resource the resources it names or depends on explicitly."""
    return {
        logical_id: ({name for name, _ in references(declared)} | _explicit(declared)) & resources.keys()
        for logical_id, declared in resources.items()
    }


def _explicit(declared: Mapping[str, Any]) -> set[str]:
    named = declared.get("DependsOn", [])
    return {named} if isinstance(named, str) else set(named)


def creation_order(resources: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the logical ids so that each follows what it needs; a circle is AWS's ValidationError."""
    graph = {logical_id: sorted(needed) for logical_id, needed in dependencies(resources).items()}
    try:
        return tuple(TopologicalSorter(graph).static_order())
    except CycleError as circle:
        names = ", ".join(sorted(set(circle.args[1])))
        raise ValidationError(message=f"Circular dependency between resources: [{names}]") from None
