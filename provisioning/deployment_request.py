"""Merge what a person typed over what the configuration file says into one deployment's spec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from artifacts.errors import BadRequest
from stacks.settings import DEFAULT_ACCELERATOR, parse_deployment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stacks.spec import DeploymentSpec


def deployment_spec(
    document: Mapping[str, Any], name: str, region: str, wanted: Mapping[str, Any]
) -> DeploymentSpec:
    """Return the spec of the deployment; `wanted` are the setup options, None or empty when not given.

    Raises `BadRequest` for unknown keys, unknown accelerators, and options that contradict each other.
    """
    merged = dict(document) | {"name": name, "region": region, "targets": _targets(document, wanted)}
    if wanted.get("ttl"):
        merged["ttl"] = wanted["ttl"]
    if wanted.get("key_name"):
        merged["key_name"] = wanted["key_name"]
    network = _network(wanted)
    if network:
        merged["network"] = network
    return parse_deployment(merged)


def _targets(document: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    if wanted.get("accelerators"):
        rows = [{"accelerator": accelerator} for accelerator in wanted["accelerators"]]
    else:
        rows = document.get("targets") or [{"accelerator": DEFAULT_ACCELERATOR}]
    return [_row(row, wanted) for row in rows]


def _row(row: Any, wanted: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise BadRequest("Each target must be a table.", 'Write [[targets]] and accelerator = "c7i.xlarge".')
    given = {key: wanted[key] for key in ("instance_type", "count") if wanted.get(key)}
    return row | given


def _network(wanted: Mapping[str, Any]) -> dict[str, Any]:
    vpc_id, subnet_ids = wanted.get("vpc_id"), list(wanted.get("subnet_ids") or ())
    given = {"vpc_id": vpc_id, "subnet_ids": subnet_ids}
    return {key: value for key, value in given.items() if value}
