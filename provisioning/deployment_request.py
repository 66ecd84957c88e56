"""Merge what a person typed over what the configuration file says into one deployment's spec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from artifacts.errors import BadRequest
from stacks.settings import default_targets, parse_deployment, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stacks.spec import DeploymentSpec

# Options by the table of the configuration file that their keys are in.
PLAIN_KEYS = ("ttl", "key_name", "ssh_cidr", "kms_key")
IDENTITY_KEYS = ("permissions_boundary", "role_path")
HOST_KEYS = (
    *("instance_type", "count", "spot", "capacity_reservation"),
    *("certificate", "clients", "max_count", "requests_per_minute"),
)


def deployment_spec(
    document: Mapping[str, Any], name: str, region: str, wanted: Mapping[str, Any]
) -> DeploymentSpec:
    """Return the spec of the deployment; `wanted` are the setup options, None or empty when not given.

    Raises `BadRequest` for unknown keys, unknown accelerators, and options that contradict each other.
    """
    merged = dict(document) | {"name": name, "region": region, "targets": _targets(document, wanted)}
    merged |= {key: wanted[key] for key in PLAIN_KEYS if wanted.get(key)}
    identity = {key: wanted[key] for key in IDENTITY_KEYS if wanted.get(key)}
    if identity:
        merged["identity"] = dict(table(document, "identity")) | identity
    merged.setdefault("guard", True)  # the CDK is asked for it: -c guard=true
    network = _network(wanted)
    if network:
        # Another VPC has other subnets, endpoints and routes; other subnets are of the configured VPC.
        standing = {} if "vpc_id" in network else dict(table(document, "network"))
        merged["network"] = standing | network
    return parse_deployment(merged)


def _targets(document: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    if wanted.get("accelerators"):
        rows = [{"accelerator": accelerator} for accelerator in wanted["accelerators"]]
    else:
        rows = document.get("targets") or default_targets(document)
    return [_row(row, wanted) for row in rows]


def _row(row: Any, wanted: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise BadRequest("Each target must be a table.", 'Write [[targets]] and accelerator = "c7i.xlarge".')
    given = {key: wanted[key] for key in HOST_KEYS if wanted.get(key)}
    return row | given


def _network(wanted: Mapping[str, Any]) -> dict[str, Any]:
    given = {"vpc_id": wanted.get("vpc_id")}
    given |= {key: list(wanted.get(key) or ()) for key in ("subnet_ids", "route_table_ids")}
    return {key: value for key, value in given.items() if value}
