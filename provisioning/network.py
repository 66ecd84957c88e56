"""An existing network a deployment is to use: what is there, what is missing, and what can be mended.

Reading AWS (`observe_network`) is separate from deciding (`adopt`, `judge_network`, `plan_repairs`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from provisioning.deployment import TAG_DEPLOYMENT
from provisioning.findings import Finding, Level
from provisioning.repairs import (
    DNS_HOSTNAMES,
    DNS_SUPPORT,
    PRIVATE_DNS,
    RepairEndpoint,
    RepairVpc,
    held_changes,
    tag_key,
)
from stacks.closure import S3, created_needs, creates_s3_gateway, needs
from stacks.spec import ExistingEndpoint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from provisioning.aws import Aws
    from provisioning.aws.ec2 import SubnetRecord, VpcRecord
    from provisioning.aws.ec2_network import RouteTable, VpcEndpoint
    from stacks.spec import DeploymentSpec

USABLE = frozenset({"available", "pending"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedNetwork:
    """What AWS answered about an existing network; `vpc` is None when there is none of that id."""

    vpc: VpcRecord | None = None
    subnets: tuple[SubnetRecord, ...] = ()  # those the deployment names, in its order
    endpoints: tuple[VpcEndpoint, ...] = ()
    endpoint_subnets: tuple[SubnetRecord, ...] = ()
    route_tables: tuple[RouteTable, ...] = ()

    def zones_of(self, endpoint: VpcEndpoint) -> frozenset[str]:
        """Return the zones an endpoint has an interface in."""
        return frozenset(each.zone for each in self.endpoint_subnets if each.subnet_id in endpoint.subnet_ids)

    def tables_of(self, subnet_ids: Sequence[str]) -> frozenset[str]:
        """Return the route tables of subnets; a subnet that names none has the VPC's main one."""
        own = {subnet: table.table_id for table in self.route_tables for subnet in table.subnet_ids}
        main = next((table.table_id for table in self.route_tables if table.is_main), None)
        found = (own.get(subnet_id, main) for subnet_id in subnet_ids)
        return frozenset(table for table in found if table is not None)


def observe_network(aws: Aws, spec: DeploymentSpec) -> ObservedNetwork:
    """Ask AWS what there is of an existing network; nothing when a new one is made."""
    wanted = spec.network
    vpc = aws.ec2.vpc(wanted.vpc_id) if wanted.vpc_id is not None else None
    if vpc is None:
        return ObservedNetwork()
    endpoints = aws.ec2_network.endpoints_of(vpc.vpc_id)
    entered = sorted({subnet_id for endpoint in endpoints for subnet_id in endpoint.subnet_ids})
    return ObservedNetwork(
        vpc=vpc,
        subnets=aws.ec2.subnets(wanted.subnet_ids),
        endpoints=endpoints,
        endpoint_subnets=aws.ec2.subnets(entered) if entered else (),
        route_tables=aws.ec2_network.route_tables_of(vpc.vpc_id),
    )


def adopt(spec: DeploymentSpec, network: ObservedNetwork) -> DeploymentSpec:
    """Return the spec with the endpoints that are there and will be used, so that synthesis stays pure."""
    found = [
        ExistingEndpoint(service=service, security_group_id=endpoint.group_ids[0])
        for service, endpoint in reusable_endpoints(spec, network).items()
        if endpoint.group_ids
    ]
    if _gateway(spec, network) is not None:
        found.append(ExistingEndpoint(service=S3))
    told = {endpoint.service for endpoint in spec.network.endpoints}
    added = tuple(endpoint for endpoint in found if endpoint.service not in told)
    return replace(spec, network=replace(spec.network, endpoints=(*spec.network.endpoints, *added)))


def reusable_endpoints(spec: DeploymentSpec, network: ObservedNetwork) -> Mapping[str, VpcEndpoint]:
    """Return the interface endpoint of each needed service that nobody's deployment owns, by service."""
    free = [each for each in network.endpoints if each.kind == "Interface" and each.state in USABLE]
    found: dict[str, VpcEndpoint] = {}
    for need in needs(spec):
        candidates = [each for each in free if each.service == need.service and not _owner(each)]
        if candidates:
            # Of several, only one can hold the service's name: that one is in use already.
            found[need.service] = min(candidates, key=lambda each: (not each.private_dns, each.endpoint_id))
    return found


def _owner(endpoint: VpcEndpoint) -> str | None:
    return endpoint.tags.get(TAG_DEPLOYMENT)


def _gateway(spec: DeploymentSpec, network: ObservedNetwork) -> VpcEndpoint | None:
    """Return the gateway to S3 that every subnet of the deployment already routes to."""
    tables = network.tables_of(spec.network.subnet_ids)
    for endpoint in network.endpoints:
        is_gateway = (endpoint.kind, endpoint.service) == ("Gateway", S3) and endpoint.state in USABLE
        if is_gateway and not _owner(endpoint) and tables and tables <= set(endpoint.route_table_ids):
            return endpoint
    return None


def plan_repairs(spec: DeploymentSpec, network: ObservedNetwork) -> tuple[RepairVpc | RepairEndpoint, ...]:
    """Return what has to be mended in the network before the stacks are made, in order."""
    return tuple(_repairs(spec, network))


def _repairs(spec: DeploymentSpec, network: ObservedNetwork) -> Iterator[RepairVpc | RepairEndpoint]:
    vpc = network.vpc
    if vpc is None:
        return
    off = {DNS_SUPPORT: not vpc.dns_support, DNS_HOSTNAMES: not vpc.dns_hostnames}
    wanted = [change for change, is_off in off.items() if is_off]
    changes = _to_record(spec.name, vpc.tags, wanted, relied_on=off)
    if changes:
        yield RepairVpc(deployment=spec.name, vpc_id=vpc.vpc_id, changes=changes)
    for service, endpoint in reusable_endpoints(spec, network).items():
        wanted = [*_missing_subnets(network, endpoint)]
        wanted += [] if endpoint.private_dns else [PRIVATE_DNS]
        relied_on = (PRIVATE_DNS, *spec.network.subnet_ids)
        changes = _to_record(spec.name, endpoint.tags, wanted, relied_on=relied_on)
        if changes:
            yield RepairEndpoint(
                deployment=spec.name, endpoint_id=endpoint.endpoint_id, service=service, changes=changes
            )


def _to_record(
    deployment: str,
    tags: Mapping[str, str],
    wanted: Sequence[str],
    *,
    relied_on: Sequence[str] | Mapping[str, bool],
) -> tuple[str, ...]:
    """Return the changes to make and to leave in the tag, or none when there is nothing new.

    What another deployment has mended is recorded too, so that it stays when that one is torn down.
    """
    own = tags.get(tag_key(deployment), "").split()
    shared = [change for change in relied_on if change in held_changes(tags, except_by=deployment)]
    new = [change for change in (*wanted, *shared) if change not in own]
    return tuple(dict.fromkeys((*own, *wanted, *shared))) if new or wanted else ()


def _missing_subnets(network: ObservedNetwork, endpoint: VpcEndpoint) -> Iterator[str]:
    """Yield the deployment's subnets in whose zone the endpoint has no interface: one for each zone."""
    covered = set(network.zones_of(endpoint))
    for subnet in network.subnets:
        if subnet.zone not in covered:
            covered.add(subnet.zone)
            yield subnet.subnet_id


def judge_network(spec: DeploymentSpec, network: ObservedNetwork) -> Iterator[Finding]:
    """Yield everything that speaks against an existing network; nothing for a new one."""
    if spec.network.vpc_id is None:
        return
    if network.vpc is None:
        yield _error("vpc-not-found", f"There is no VPC {spec.network.vpc_id} in {spec.region}.")
        return
    yield from _judge_subnets(spec, network, network.vpc)
    yield from _judge_owners(spec, network)
    yield from _judge_s3(spec, network)
    created = created_needs(spec)
    if created:
        yield Finding(
            level=Level.WARNING,
            code="private-names-shared",
            message=f"Everything in {network.vpc.vpc_id} will reach {', '.join(n.service for n in created)} "
            "through the new endpoints, which admit the hosts of this deployment only.",
            remedy="leave --vpc-id out for a VPC of its own, or make the VPC's own endpoints first: "
            "they are used when they are there",
        )


def _judge_subnets(spec: DeploymentSpec, network: ObservedNetwork, vpc: VpcRecord) -> Iterator[Finding]:
    known = {subnet.subnet_id: subnet for subnet in network.subnets}
    for subnet_id in spec.network.subnet_ids:
        if subnet_id not in known:
            yield _error("subnet-not-found", f"There is no subnet {subnet_id} in {spec.region}.")
        elif known[subnet_id].vpc_id != vpc.vpc_id:
            yield _error("subnet-elsewhere", f"Subnet {subnet_id} is not in {vpc.vpc_id}.")
    for zone, count in Counter(subnet.zone for subnet in network.subnets).items():
        if count > 1:
            yield _error(
                "subnets-share-zone",
                f"{count} of the subnets are in {zone}, and an endpoint takes one subnet of a zone.",
            )


def _judge_owners(spec: DeploymentSpec, network: ObservedNetwork) -> Iterator[Finding]:
    needed = {need.service for need in needs(spec)}
    for endpoint in network.endpoints:
        owner = _owner(endpoint)
        if owner not in (None, spec.name) and endpoint.service in needed and endpoint.private_dns:
            yield Finding(
                level=Level.ERROR,
                code="endpoint-of-another-deployment",
                message=f"The endpoint {endpoint.endpoint_id} for {endpoint.service} is of deployment "
                f"{owner}: "
                "it admits that deployment's hosts only, and no second one can have the name.",
                remedy=f"use another VPC, or first: amazonei teardown --name {owner}",
            )


def _judge_s3(spec: DeploymentSpec, network: ObservedNetwork) -> Iterator[Finding]:
    if creates_s3_gateway(spec) or spec.network.endpoint(S3) is not None:
        return
    tables = " ".join(
        f"--route-table-id {table}" for table in sorted(network.tables_of(spec.network.subnet_ids))
    )
    yield Finding(
        level=Level.ERROR,
        code="no-way-to-s3",
        message="No gateway endpoint to S3 is routed to from all of the subnets, so hosts cannot fetch "
        "what they run.",
        remedy=f"make one for the VPC, or let this deployment make one with {tables}; it will admit this "
        "deployment's objects only, for everything in those subnets",
    )


def _error(code: str, message: str) -> Finding:
    return Finding(level=Level.ERROR, code=code, message=message, remedy="check --vpc-id and --subnet-id")
