"""Preflight: what the account offers, and every reason why a deployment could not be made there.

Reading AWS (`observe`) is separate from deciding (`judge`, `place`), so that each decision is a function
of values. Nothing here changes anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from artifacts.errors import BadRequest
from artifacts.targets import find
from provisioning.certificates import judge_certificates, observe_certificates
from provisioning.errors import NotFound
from provisioning.findings import Finding, Level
from provisioning.network import judge_network, observe_network
from provisioning.quotas import Wanted, judge_quotas, observe_quotas

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from artifacts.targets import Target
    from provisioning.aws import Aws
    from provisioning.aws.ec2 import ImageRecord
    from provisioning.certificates import ObservedCertificate
    from provisioning.network import ObservedNetwork
    from provisioning.quotas import Unread, Usage
    from stacks.spec import DeploymentSpec, HostSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What AWS answered about the region and the network a deployment asks for."""

    account: str
    offerings: Mapping[str, tuple[str, ...]]  # EC2 instance type -> names of the zones that offer it
    images: Mapping[str, ImageRecord | None]  # public image parameter -> AMI, None when there is none
    s3_prefix_list: str | None
    network: ObservedNetwork
    has_key: bool = True  # whether the key pair that was named exists
    quotas: tuple[Usage | Unread, ...] = ()
    certificates: tuple[ObservedCertificate, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The two zones of a new network, and the one each accelerator's hosts go to."""

    first_zone: str
    second_zone: str
    host_zones: Mapping[str, str]  # accelerator -> "first" | "second" | "both", which is for groups


def observe(aws: Aws, spec: DeploymentSpec, network: ObservedNetwork | None = None) -> Observed:
    """Ask AWS what the spec needs to know; only describe and get calls."""
    return Observed(
        account=aws.sts.caller_identity().account,
        offerings=aws.ec2.instance_type_zones(sorted(_types(spec))),
        images={host.image_parameter: _image(aws, host.image_parameter) for host in spec.hosts},
        s3_prefix_list=aws.ec2.s3_prefix_list_id(),
        network=network or observe_network(aws, spec),
        has_key=spec.key_name is None or aws.ec2.has_key_pair(spec.key_name),
        quotas=observe_quotas(aws, _wanted(spec), spec.name),
        certificates=observe_certificates(aws, spec.certificates),
    )


def _wanted(spec: DeploymentSpec) -> Iterator[Wanted]:
    for host in spec.hosts:
        if host.capacity_reservation is None:  # a reservation was counted when it was made
            most = (host.balancer and host.balancer.max_count) or host.count
            yield Wanted(instance_type=host.instance_type, count=most, is_spot=host.spot)


def _types(spec: DeploymentSpec) -> set[str]:
    """Return the EC2 types whose zones decide where subnets go.

    SageMaker does not say which zones it offers a type in; without hosts EC2's are the best guess.
    """
    hosts = {host.instance_type for host in spec.hosts}
    endpoints = {endpoint.instance_type for endpoint in spec.endpoints}
    notebooks = {notebook.instance_type for notebook in spec.notebooks}
    return hosts or {name.removeprefix("ml.") for name in endpoints | notebooks}


def _image(aws: Aws, parameter: str) -> ImageRecord | None:
    try:
        return aws.ec2.image(aws.ssm.parameter(parameter))
    except NotFound:
        return None


def judge(spec: DeploymentSpec, observed: Observed) -> tuple[Finding, ...]:
    """Return everything that speaks against the plan, worst first."""
    found = [
        *(finding for host in spec.hosts for finding in _judge_host(spec, host, observed)),
        *judge_network(spec, observed.network),
        *_judge_zones(spec, observed),
        *_judge_balancer(spec, observed),
        *_judge_key(spec, observed),
        *judge_quotas(observed.quotas, spec.region),
        *judge_certificates(observed.certificates, spec.region),
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
    image = observed.images.get(host.image_parameter)
    if image is None:
        yield Finding(
            level=Level.ERROR,
            code="image-not-found",
            message=f"The image parameter {host.image_parameter} for {host.accelerator} does not resolve "
            f"in {spec.region}.",
            remedy="AWS has withdrawn the image or the region has none; choose another region or accelerator",
        )
    elif image.architecture != target.architecture:
        yield Finding(
            level=Level.ERROR,
            code="image-of-another-architecture",
            message=f"{image.image_id}, the image of {host.accelerator}, is for {image.architecture} and not "
            f"for {target.architecture}.",
            remedy="report this: the catalogue names the wrong image",
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


def _judge_key(spec: DeploymentSpec, observed: Observed) -> Iterator[Finding]:
    if not observed.has_key:
        yield Finding(
            level=Level.ERROR,
            code="key-not-found",
            message=f"There is no key pair {spec.key_name} in {spec.region}.",
            remedy="make or import it there, or leave --key-name out: Systems Manager needs none",
        )


def _judge_balancer(spec: DeploymentSpec, observed: Observed) -> Iterator[Finding]:
    """Yield why a load balancer, which takes one subnet of each zone, cannot stand where the hosts do."""
    if all(host.balancer is None for host in spec.hosts):
        return
    if spec.network.vpc_id is not None:
        zones: tuple[str, ...] = tuple(subnet.zone for subnet in observed.network.subnets[:2])
        remedy = "name a subnet of another zone second: --subnet-id"
    else:
        offered = all(observed.offerings.get(host.instance_type) for host in spec.hosts)
        zones = (_zone_pair(_types(spec), observed.offerings) if offered else None) or ()
        remedy = "choose another region, or leave the certificate out"
    if zones and len(set(zones)) < 2:
        yield Finding(
            level=Level.ERROR,
            code="balancer-in-one-zone",
            message=f"A load balancer stands in two zones; the hosts can be in {zones[0]} only.",
            remedy=remedy,
        )


def _judge_zones(spec: DeploymentSpec, observed: Observed) -> Iterator[Finding]:
    offered = [host for host in spec.hosts if observed.offerings.get(host.instance_type)]
    if spec.network.vpc_id is not None:
        yield from _judge_subnet_zones(offered, observed)
        return
    if len(offered) < len(spec.hosts):
        return
    if _zone_pair(_types(spec), observed.offerings) is None:
        where = "; ".join(
            f"{name} in {', '.join(observed.offerings.get(name, ())) or 'none'}"
            for name in sorted(_types(spec))
        )
        yield Finding(
            level=Level.ERROR,
            code="no-common-zones",
            message=f"No two zones of {spec.region} offer all accelerators: {where}.",
            remedy="make separate deployments with --name",
        )


def _judge_subnet_zones(hosts: Iterable[HostSpec], observed: Observed) -> Iterator[Finding]:
    zones = [subnet.zone for subnet in observed.network.subnets[:2]]
    for host in hosts:
        offering = observed.offerings[host.instance_type]
        if zones and not set(zones) & set(offering):
            yield Finding(
                level=Level.ERROR,
                code="zone-without-type",
                message=f"{host.instance_type} is not offered in {', '.join(zones)}, where the first two "
                "subnets are.",
                remedy=f"name a subnet in one of {', '.join(offering)} with --subnet-id",
            )


def place(spec: DeploymentSpec, observed: Observed) -> Placement:
    """Return zones in which every accelerator is offered; call only when `judge` found no error.

    With an existing network the hosts stay in the given subnets, in the first one that offers their type.
    """
    if spec.network.vpc_id is not None:
        zones = [subnet.zone for subnet in observed.network.subnets]
        first, second = zones[0], zones[min(1, len(zones) - 1)]
    else:
        pair = _zone_pair(_types(spec), observed.offerings)
        if pair is None:
            raise BadRequest("No two zones offer all accelerators.", "Make separate deployments with --name.")
        first, second = pair
    host_zones = {
        host.accelerator: _zone_choice(host, first, second, observed.offerings[host.instance_type])
        for host in spec.hosts
    }
    return Placement(first_zone=first, second_zone=second, host_zones=host_zones)


def _zone_choice(host: HostSpec, first: str, second: str, offering: tuple[str, ...]) -> str:
    if host.is_group and first in offering and second in offering:
        return "both"
    return "first" if first in offering else "second"


def _zone_pair(types: Iterable[str], offerings: Mapping[str, tuple[str, ...]]) -> tuple[str, str] | None:
    """Return the first pair of zones, by name, in which each type is offered at least once."""
    needs = [set(offerings.get(name, ())) for name in types]
    zones = sorted(set().union(*needs))
    pairs = (pair for pair in combinations(zones, 2) if all(need & set(pair) for need in needs))
    # The zone that most types share goes first, so that hosts land in few zones.
    best = max(pairs, key=lambda pair: sum(pair[0] in need for need in needs), default=None)
    return best or ((zones[0], zones[0]) if len(zones) == 1 else None)
