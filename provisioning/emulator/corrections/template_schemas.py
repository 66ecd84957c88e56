"""What a resource type of CloudFormation may carry, from the registry schemas that cfn-lint bundles.

moto's own extras install cfn-lint; its schemas are AWS's (https://schema.cloudformation.us-east-1.amazonaws.com).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from cfnlint.schema import ResourceNotFoundError
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_INTRINSICS = ("Ref", "Condition")


@cache
def schema_of(type_name: str, region: str) -> Mapping[str, Any] | None:
    """Return the registry schema of a type, or None where the region does not know the type."""
    try:
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(region, type_name)
    except ResourceNotFoundError:
        return None
    return schema.schema  # type: ignore[no-any-return]


def carries_system_tags(type_name: str, region: str) -> bool:
    """Return whether CloudFormation puts its aws:cloudformation:* tags on resources of this type."""
    tagging = (schema_of(type_name, region) or {}).get("tagging") or {}
    return bool(tagging.get("taggable") and tagging.get("cloudFormationSystemTags"))


def needs_replacement(type_name: str, region: str, changed: set[str]) -> bool:
    """Return whether one of the changed properties can only be set at creation."""
    paths = (schema_of(type_name, region) or {}).get("createOnlyProperties") or []
    return any(path.removeprefix("/properties/").split("/")[0] in changed for path in paths)


def attributes_of(type_name: str, region: str) -> frozenset[str]:
    """Return what Fn::GetAtt may ask of a type."""
    if schema_of(type_name, region) is None:
        return frozenset()
    return frozenset(PROVIDER_SCHEMA_MANAGER.get_type_getatts(type_name, region))


def property_faults(type_name: str, region: str, properties: Any) -> tuple[str, ...]:
    """Return one line for each property the type does not know, and for each required one that is missing."""
    schema = schema_of(type_name, region)
    if schema is None:
        return ()
    return tuple(_faults(properties, schema, schema, "#"))


def _faults(value: Any, shape: Mapping[str, Any], root: Mapping[str, Any], path: str) -> Iterator[str]:
    shape = _followed(shape, root)
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _faults(item, shape.get("items") or {}, root, f"{path}/{index}")
    elif isinstance(value, dict) and not _is_function(value):
        yield from _object_faults(value, shape, root, path)


def _object_faults(
    value: dict[str, Any], shape: Mapping[str, Any], root: Mapping[str, Any], path: str
) -> Iterator[str]:
    known = shape.get("properties") or {}
    if known and shape.get("additionalProperties") is False:
        for key in sorted(value.keys() - known.keys()):
            yield f"{path}: extraneous key [{key}] is not permitted"
    for key in shape.get("required") or []:
        if key not in value:
            yield f"{path}: required key [{key}] not found"
    for key in value.keys() & known.keys():
        yield from _faults(value[key], known[key], root, f"{path}/{key}")


def _followed(shape: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = shape.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return shape
    for step in reference.removeprefix("#/").split("/"):
        root = root.get(step, {})
    return root


def _is_function(value: dict[str, Any]) -> bool:
    return len(value) == 1 and next(iter(value)).startswith(("Fn::", *_INTRINSICS))
