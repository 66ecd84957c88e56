"""The part of `amazonei.toml` that says what is deployed; the command line and the CDK share it."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from artifacts.errors import BadRequest
from artifacts.targets import Family, Target, find
from stacks import balancing, hosting
from stacks.durations import parse_duration
from stacks.spec import (
    BudgetSpec,
    DeploymentSpec,
    ExistingEndpoint,
    HostSpec,
    IdentitySpec,
    NetworkSpec,
)

if TYPE_CHECKING:
    from pathlib import Path

    from stacks.hosting import EndpointSpec, NotebookSpec

DEFAULT_NAME = "amazonei"
DEFAULT_TTL = "8h"
DEFAULT_ACCELERATOR = "inf1.xlarge"

# Every key the file may have, by table; the keys of [model], [benchmark] and [budget] are checked
# by the rooms they belong to.
KNOWN_KEYS: Mapping[str, tuple[str, ...]] = {
    "": (
        *("name", "region", "ttl", "key_name", "ssh_cidr", "kms_key"),
        *("model", "network", "identity", "targets", "hosts", "benchmark", "budget"),
        *("endpoints", "notebooks", "guard", "signing", "cache"),
    ),
    "network": ("vpc_id", "subnet_ids", "route_table_ids", "endpoints"),
    "identity": ("permissions_boundary", "role_path"),
    "targets": (
        *("accelerator", "instance_type", "count", "spot", "capacity_reservation", "compiler"),
        *balancing.KEYS,
    ),
}


def read_document(path: Path) -> Mapping[str, object]:
    """Return the tables of a file; raises BadRequest when it is missing or is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadRequest(f"There is no file {path}.", "Name one with --config.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"{path} is not valid TOML: {error}.", "Correct that line.") from error


def parse_deployment(document: Mapping[str, object]) -> DeploymentSpec:
    """Return the deployment a document describes; raises BadRequest for what cannot be meant."""
    reject_unknown(document, KNOWN_KEYS[""], "")
    region = text(document, "region", "")
    if region is None:
        raise BadRequest("No region is given.", 'Pass --region, or write region = "us-west-2" in the file.')
    return DeploymentSpec(
        name=text(document, "name", "") or DEFAULT_NAME,
        region=region,
        hosts=_hosts(document),
        network=_network(document),
        identity=_identity(document),
        key_name=text(document, "key_name", ""),
        ssh_cidr=text(document, "ssh_cidr", ""),
        kms_key=text(document, "kms_key", ""),
        ttl_s=parse_duration(text(document, "ttl", "") or DEFAULT_TTL),
        endpoints=tuple(_endpoint(row, region) for row in _rows(document, "endpoints")),
        notebooks=tuple(_notebook(row) for row in _rows(document, "notebooks")),
        guard=_flag(document, "guard"),
        budget=_budget(document),
    )


def host_for(
    target: Target,
    *,
    instance_type: str | None = None,
    count: int = 1,
    spot: bool = False,
    capacity_reservation: str | None = None,
    balancer: balancing.BalancerSpec | None = None,
) -> HostSpec:
    """Return the hosts that carry a target; only an Elastic Inference one leaves a choice of their type."""
    attached = target.family is Family.ELASTIC_INFERENCE
    own_type = target.instance_type or hosting.ELASTIC_INFERENCE_HOST
    if not attached and instance_type not in {None, own_type}:
        raise BadRequest(
            f"{target.name} is its own host, it cannot hang on {instance_type}.",
            "Leave the instance type out; it is the host of Elastic Inference accelerators.",
        )
    return HostSpec(
        accelerator=target.name,
        instance_type=instance_type or own_type,
        image_parameter=target.image_parameter,
        interpreter=target.interpreter,
        elastic_inference=target.name if attached else None,
        count=count,
        spot=spot,
        capacity_reservation=capacity_reservation,
        balancer=balancer,
    )


def reject_unknown(document: Mapping[str, object], known: Sequence[str], where: str) -> None:
    """Raise BadRequest for the first key that is not known, naming the nearest one that is."""
    for key in document:
        if key not in known:
            nearest = difflib.get_close_matches(key, known, n=1)
            hint = f"Did you mean {nearest[0]!r}?" if nearest else f"Known here: {', '.join(known)}."
            raise BadRequest(f"Unknown key {key!r}{_in(where)}.", hint)


def text(document: Mapping[str, object], key: str, where: str) -> str | None:
    """Return a string of a table, or None; raises BadRequest when it is something else."""
    value = document.get(key)
    if value is None or (isinstance(value, str) and value):
        return value
    raise BadRequest(f"{key!r}{_in(where)} is not a string with something in it.", f'Write {key} = "...".')


def table(document: Mapping[str, object], key: str) -> Mapping[str, object]:
    """Return a table of the document, empty when it is not there; raises BadRequest when it is none."""
    value = document.get(key, {})
    if isinstance(value, Mapping):
        return value
    raise BadRequest(f"{key!r} is not a table.", f"Write a line [{key}] and its keys below it.")


def _network(document: Mapping[str, object]) -> NetworkSpec:
    network = table(document, "network")
    reject_unknown(network, KNOWN_KEYS["network"], "network")
    return NetworkSpec(
        vpc_id=text(network, "vpc_id", "network"),
        subnet_ids=_texts(network, "subnet_ids", "network"),
        route_table_ids=_texts(network, "route_table_ids", "network"),
        endpoints=_endpoints(network),
    )


def _endpoints(network: Mapping[str, object]) -> tuple[ExistingEndpoint, ...]:
    """Read lines like "ssm=sg-0a1b2c3d", or "s3" for a gateway, which has no security group."""
    rows = (line.partition("=") for line in _texts(network, "endpoints", "network"))
    return tuple(
        ExistingEndpoint(service=service, security_group_id=group or None) for service, _, group in rows
    )


def _identity(document: Mapping[str, object]) -> IdentitySpec:
    identity = table(document, "identity")
    reject_unknown(identity, KNOWN_KEYS["identity"], "identity")
    return IdentitySpec(
        permissions_boundary=text(identity, "permissions_boundary", "identity"),
        role_path=text(identity, "role_path", "identity") or "/",
    )


def default_targets(document: Mapping[str, object]) -> list[dict[str, object]]:
    """Return the targets of a document that names none: nothing where SageMaker serves."""
    is_hosted = document.get("endpoints") or document.get("notebooks")
    return [] if is_hosted else [{"accelerator": DEFAULT_ACCELERATOR}]


def _hosts(document: Mapping[str, object]) -> tuple[HostSpec, ...]:
    rows = document.get("targets", default_targets(document))
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise BadRequest("'targets' is not a list of tables.", "Write [[targets]] above each accelerator.")
    return tuple(_host(row) for row in rows)


def _host(row: Mapping[str, object]) -> HostSpec:
    reject_unknown(row, KNOWN_KEYS["targets"], "targets")
    accelerator = text(row, "accelerator", "targets")
    if accelerator is None:
        raise BadRequest("A table [[targets]] names no accelerator.", 'Write accelerator = "inf2.xlarge".')
    count = _whole(row, "count")
    spot = row.get("spot", False)
    if not isinstance(spot, bool):
        raise BadRequest("'spot' in [targets] is not true or false.", "Write spot = true.")
    return host_for(
        find(accelerator),
        instance_type=text(row, "instance_type", "targets"),
        count=1 if count is None else count,
        spot=spot,
        capacity_reservation=text(row, "capacity_reservation", "targets"),
        balancer=_balancer(row),
    )


def _balancer(row: Mapping[str, object]) -> balancing.BalancerSpec | None:
    """Return the balancer that a certificate asks for; its other keys mean nothing without one."""
    certificate = text(row, "certificate", "targets")
    if certificate is None:
        for key in balancing.KEYS:
            if key in row:
                raise BadRequest(
                    f"{key!r} in [targets] is about a load balancer, and there is none.",
                    'Write certificate = "arn:aws:acm:..." as well.',
                )
        return None
    return balancing.BalancerSpec(
        certificate=certificate,
        clients=text(row, "clients", "targets"),
        max_count=_whole(row, "max_count"),
        requests_per_minute=_whole(row, "requests_per_minute"),
    )


def _whole(row: Mapping[str, object], key: str) -> int | None:
    value = row.get(key)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise BadRequest(f"{key!r} in [targets] is not a whole number.", f"Write {key} = 2.")


def _rows(document: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
    rows = document.get(key, [])
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise BadRequest(f"{key!r} is not a list of tables.", f"Write [[{key}]] above each of them.")
    return rows


def _endpoint(row: Mapping[str, object], region: str) -> EndpointSpec:
    reject_unknown(row, hosting.KNOWN_KEYS["endpoints"], "endpoints")
    accelerator = text(row, "accelerator", "endpoints")
    if accelerator is None:
        raise BadRequest("A table [[endpoints]] names no accelerator.", 'Write accelerator = "inf2.xlarge".')
    image, torch = text(row, "image", "endpoints"), text(row, "torch", "endpoints")
    if (image is None) != (torch is None):
        raise BadRequest(
            "An image of your own and the torch it carries are named together.",
            'Write image = "ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG" and torch = "2.13.0".',
        )
    own = (image, torch) if image and torch else None
    numbers = {key: value for key, value in row.items() if key not in ("accelerator", "image", "torch")}
    for key, value in numbers.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadRequest(f"{key!r} in [endpoints] is not a whole number.", f"Write {key} = 2.")
    return hosting.endpoint_for(accelerator, region, own=own, **cast("dict[str, int]", numbers))


def _notebook(row: Mapping[str, object]) -> NotebookSpec:
    reject_unknown(row, hosting.KNOWN_KEYS["notebooks"], "notebooks")
    name = text(row, "name", "notebooks")
    if name is None:
        raise BadRequest("A table [[notebooks]] has no name.", 'Write name = "first".')
    return hosting.notebook_for(
        name,
        instance_type=text(row, "instance_type", "notebooks"),
        accelerator=text(row, "accelerator", "notebooks"),
    )


def _flag(document: Mapping[str, object], key: str) -> bool:
    value = document.get(key, False)
    if isinstance(value, bool):
        return value
    raise BadRequest(f"{key!r} is neither true nor false.", f"Write {key} = true.")


def _budget(document: Mapping[str, object]) -> BudgetSpec | None:
    """Return the budget that somebody is to be told about; its other keys belong to `run`."""
    budget = table(document, "budget")
    email, limit = text(budget, "email", "budget"), budget.get("max_usd")
    if email is None:
        return None
    if not isinstance(limit, (int, float)) or isinstance(limit, bool):
        raise BadRequest("A budget with an e-mail address has no limit.", "Write max_usd = 5 in [budget].")
    return BudgetSpec(max_usd=float(limit), email=email)


def _texts(document: Mapping[str, object], key: str, where: str) -> tuple[str, ...]:
    value = document.get(key, [])
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise BadRequest(f"{key!r}{_in(where)} is not a list of strings.", f'Write {key} = ["..."].')


def _in(where: str) -> str:
    return f" in [{where}]" if where else ""
