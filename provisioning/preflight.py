"""Preflight: what the account offers, and every reason why a deployment could not be made there.

Reading AWS (`observe`) is separate from deciding (`judge`, `place`), so that each decision is a function
of values. Nothing here changes anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

from artifacts.errors import BadRequest
from artifacts.targets import find
from provisioning.errors import NotFound
from provisioning.findings import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from artifacts.targets import Target
    from provisioning.aws import Aws
    from provisioning.aws.ec2 import SubnetRecord, VpcRecord
    from stacks.spec import DeploymentSpec, HostSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What AWS answered about the region and the network a deployment asks for."""

    account: str
    offerings: Mapping[str, tuple[str, ...]]  # EC2 instance type -> names of the zones that offer it
    images: Mapping[str, str | None]  # public image parameter -> AMI id, or None when it does not resolve
    s3_prefix_list: str | None
    vpc: VpcRecord | None = None
    subnets: tuple[SubnetRecord, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The two zones of a new network, and the one each accelerator's hosts go to."""

    first_zone: str
    second_zone: str
    host_zones: Mapping[str, str]  # accelerator -> "first" | "second"


def observe(aws: Aws, spec: DeploymentSpec) -> Observed:
    """Ask AWS what the spec needs to know; only describe and get calls."""
    types = sorted({host.instance_type for host in spec.hosts})
    return Observed(
        account=aws.sts.caller_identity().account,
        offerings=aws.ec2.instance_type_zones(types),
        images={host.image_parameter: _image(aws, host.image_parameter) for host in spec.hosts},
        s3_prefix_list=aws.ec2.s3_prefix_list_id(),
        vpc=aws.ec2.vpc(spec.network.vpc_id) if spec.network.vpc_id else None,
        subnets=aws.ec2.subnets(spec.network.subnet_ids) if spec.network.subnet_ids else (),
    )


def _image(aws: Aws, parameter: str) -> str | None:
    try:
        return aws.ssm.parameter(parameter)
    except NotFound:
        return None


def judge(spec: DeploymentSpec, observed: Observed) -> tuple[Finding, ...]:
    """Return everything that speaks against the plan, worst first."""
    found = [
        *(finding for host in spec.hosts for finding in _judge_host(spec, host, observed)),
        *_judge_network(spec, observed),
        *_judge_zones(spec, observed),
    ]
    order = {Level.ERROR: 0, Level.WARNING: 1, Level.INFO: 2}
    return tuple(sorted(found, key=lambda finding: order[finding.level]))


def _judge_host(spec: DeploymentSpec, host: HostSpec, observed: Observed) -> Iterator[Finding]:
    target = find(host.accelerator)
    if not observed.offerings.get(host.instance_type):
        yield Finding(
            level=Level.ERROR,
            code="type-not-offered",
            message=f"{host.instance_type} is not offered in {spec.region}.",
            remedy=f"choose another region, or: amazonei targets successors {host.accelerator}",
        )
    if observed.images.get(host.image_parameter) is None:
        yield Finding(
            level=Level.ERROR,
            code="image-not-found",
            message=f"The image parameter {host.image_parameter} for {host.accelerator} does not resolve "
            f"in {spec.region}.",
            remedy="AWS has withdrawn the image or the region has none; choose another region or accelerator",
        )
    yield from _judge_lifecycle(target)


def _judge_lifecycle(target: Target) -> Iterator[Finding]:
    if target.lifecycle.state == "available":
        return
    yield Finding(
        level=Level.WARNING,
        code=f"lifecycle-{target.lifecycle.state}",
        message=f"{target.name}: {target.lifecycle.notice}",
        remedy=f"see {target.lifecycle.url}; live successors: {', '.join(target.successors) or 'none'}",
    )


def _judge_network(spec: DeploymentSpec, observed: Observed) -> Iterator[Finding]:
    if spec.network.vpc_id is None:
        return
    vpc = observed.vpc
    if vpc is None:
        yield _network_error("vpc-not-found", f"There is no VPC {spec.network.vpc_id} in {spec.region}.")
        return
    if not (vpc.dns_support and vpc.dns_hostnames):
        yield Finding(
            level=Level.ERROR,
            code="vpc-dns-off",
            message=f"DNS support and DNS host names are not both on in {vpc.vpc_id}; private endpoints "
            "cannot be reached by name.",
            remedy=f"aws ec2 modify-vpc-attribute --vpc-id {vpc.vpc_id} --enable-dns-support, then "
            "--enable-dns-hostnames",
        )
    known = {subnet.subnet_id: subnet for subnet in observed.subnets}
    for subnet_id in spec.network.subnet_ids:
        if subnet_id not in known:
            yield _network_error("subnet-not-found", f"There is no subnet {subnet_id} in {spec.region}.")
        elif known[subnet_id].vpc_id != vpc.vpc_id:
            yield _network_error("subnet-elsewhere", f"Subnet {subnet_id} is not in {vpc.vpc_id}.")


def _network_error(code: str, message: str) -> Finding:
    return Finding(level=Level.ERROR, code=code, message=message, remedy="check --vpc-id and --subnet-id")


def _judge_zones(spec: DeploymentSpec, observed: Observed) -> Iterator[Finding]:
    offered = [host for host in spec.hosts if observed.offerings.get(host.instance_type)]
    if spec.network.vpc_id is not None or len(offered) < len(spec.hosts):
        return
    if _zone_pair(spec.hosts, observed.offerings) is None:
        where = "; ".join(
            f"{host.accelerator} in {', '.join(observed.offerings[host.instance_type])}"
            for host in spec.hosts
        )
        yield Finding(
            level=Level.ERROR,
            code="no-common-zones",
            message=f"No two zones of {spec.region} offer all accelerators: {where}.",
            remedy="make separate deployments with --name",
        )


def place(spec: DeploymentSpec, observed: Observed) -> Placement:
    """Return zones in which every accelerator is offered; call only when `judge` found no error.

    With an existing network the hosts stay in the given subnets, in the first one that offers their type.
    """
    if spec.network.vpc_id is not None:
        zones = [subnet.zone for subnet in observed.subnets]
        first, second = zones[0], zones[min(1, len(zones) - 1)]
    else:
        pair = _zone_pair(spec.hosts, observed.offerings)
        if pair is None:
            raise BadRequest("No two zones offer all accelerators.", "Make separate deployments with --name.")
        first, second = pair
    host_zones = {
        host.accelerator: "first" if first in observed.offerings[host.instance_type] else "second"
        for host in spec.hosts
    }
    return Placement(first_zone=first, second_zone=second, host_zones=host_zones)


def _zone_pair(hosts: Iterable[HostSpec], offerings: Mapping[str, tuple[str, ...]]) -> tuple[str, str] | None:
    """Return the first pair of zones, by name, in which each host's type is offered at least once."""
    needs = [set(offerings[host.instance_type]) for host in hosts]
    zones = sorted(set().union(*needs))
    pairs = (pair for pair in combinations(zones, 2) if all(need & set(pair) for need in needs))
    # The zone that most types share goes first, so that hosts land in few zones.
    best = max(pairs, key=lambda pair: sum(pair[0] in need for need in needs), default=None)
    return best or ((zones[0], zones[0]) if len(zones) == 1 else None)
