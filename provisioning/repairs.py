"""What has to be mended in an existing network, how it is mended, and how teardown restores it.

Each mended VPC or endpoint carries a tag that names what was changed, written before the change: the
deployment's name alone is enough to find it and take it back. When several deployments rely on one
change, each leaves its tag, and the last to go takes the change back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioning.errors import NotFound, StackFailed
from provisioning.waiting import DeadlinePassed, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from provisioning.aws import Aws
    from provisioning.aws.ec2_network import Ec2Network, VpcEndpoint
    from provisioning.waiting import Clock

TAG_PREFIX = "amazonei:repair:"
DNS_SUPPORT = "dns-support"
DNS_HOSTNAMES = "dns-hostnames"
PRIVATE_DNS = "private-dns"
# AWS takes minutes to move an endpoint's interfaces and refuses the next change until then.
ENDPOINT_DEADLINE_S = 15 * 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairVpc:
    """Switch DNS attributes of a VPC on, without which no endpoint is reached by name."""

    deployment: str
    vpc_id: str
    changes: tuple[str, ...]  # DNS_SUPPORT, DNS_HOSTNAMES

    def describe(self) -> str:
        """Return the line a person reads before accepting the step."""
        return f"switch {' and '.join(self.changes)} on in {self.vpc_id} (teardown switches back)"


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairEndpoint:
    """Put an endpoint that is there into the hosts' subnets, and let it have its service's name."""

    deployment: str
    endpoint_id: str
    service: str
    changes: tuple[str, ...]  # ids of subnets, PRIVATE_DNS

    @property
    def subnets(self) -> tuple[str, ...]:
        """The subnets the endpoint is put into; each is billed by the hour."""
        return tuple(change for change in self.changes if change != PRIVATE_DNS)

    def describe(self) -> str:
        """Return the line a person reads before accepting the step."""
        subnets = ", ".join(self.subnets)
        parts = [f"add {subnets}"] if subnets else []
        parts += ["switch private DNS on"] if PRIVATE_DNS in self.changes else []
        return f"{' and '.join(parts)} in {self.endpoint_id} for {self.service} (teardown takes it back)"


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoRepair:
    """Take a repair back: what no other deployment relies on, and the tag."""

    deployment: str
    resource_id: str  # of a VPC or an endpoint
    changes: tuple[str, ...]  # to take back
    kept: tuple[str, ...] = ()  # others rely on these

    def describe(self) -> str:
        """Return the line a person reads before accepting the step."""
        kept = f" (others rely on {', '.join(self.kept)})" if self.kept else ""
        return f"restore {self.resource_id}: {', '.join(self.changes) or 'nothing but our tag'}{kept}"


def tag_key(deployment: str) -> str:
    """Return the key of the tag that names a deployment's changes of a resource."""
    return f"{TAG_PREFIX}{deployment}"


def held_changes(tags: Mapping[str, str], *, except_by: str) -> frozenset[str]:
    """Return the changes of a resource that other deployments than this one rely on."""
    others = (
        value for key, value in tags.items() if key.startswith(TAG_PREFIX) and key != tag_key(except_by)
    )
    return frozenset(change for value in others for change in value.split())


def repair(aws: Aws, step: RepairVpc | RepairEndpoint, clock: Clock) -> None:
    """Carry a repair out; repeating it changes nothing."""
    network, value = aws.ec2_network, " ".join(step.changes)
    if isinstance(step, RepairVpc):
        network.tag(step.vpc_id, tag_key(step.deployment), value)
        for change in step.changes:
            _switch_dns(network, step.vpc_id, change, on=True)
        return
    network.tag(step.endpoint_id, tag_key(step.deployment), value)
    missing = set(step.subnets) - set(_settled(network, step.endpoint_id, clock).subnet_ids)
    if missing:
        network.add_subnets(step.endpoint_id, sorted(missing))
    if PRIVATE_DNS in step.changes and not _settled(network, step.endpoint_id, clock).private_dns:
        network.set_private_dns(step.endpoint_id, on=True)
    _settled(network, step.endpoint_id, clock)


def find_repairs(aws: Aws, deployment: str) -> tuple[UndoRepair, ...]:
    """Return what restores the networks a deployment repaired: endpoints first, their VPCs after."""
    key = tag_key(deployment)
    endpoints = {each.endpoint_id: each.tags for each in aws.ec2_network.endpoints_tagged(key)}
    vpcs = {each.vpc_id: each.tags for each in aws.ec2_network.vpcs_tagged(key)}
    return tuple(_undoing(deployment, {**endpoints, **vpcs}))


def _undoing(deployment: str, found: Mapping[str, Mapping[str, str]]) -> Iterator[UndoRepair]:
    for resource_id, tags in found.items():
        changes = tags[tag_key(deployment)].split()
        held = held_changes(tags, except_by=deployment)
        yield UndoRepair(
            deployment=deployment,
            resource_id=resource_id,
            changes=tuple(change for change in changes if change not in held),
            kept=tuple(change for change in changes if change in held),
        )


def undo(aws: Aws, step: UndoRepair, clock: Clock) -> None:
    """Restore the resource and remove the tag last; what is gone needs no restoring."""
    network = aws.ec2_network
    try:
        if step.resource_id.startswith("vpc-"):
            # Host names need DNS support, so they go off first.
            for change in sorted(step.changes):
                _switch_dns(network, step.resource_id, change, on=False)
        else:
            _restore_endpoint(network, step.resource_id, step.changes, clock)
        network.untag(step.resource_id, tag_key(step.deployment))
    except NotFound:
        return


def _restore_endpoint(network: Ec2Network, endpoint_id: str, changes: Sequence[str], clock: Clock) -> None:
    if PRIVATE_DNS in changes and _settled(network, endpoint_id, clock).private_dns:
        network.set_private_dns(endpoint_id, on=False)
    there = _settled(network, endpoint_id, clock).subnet_ids
    added = [change for change in changes if change in there]
    if added:
        network.remove_subnets(endpoint_id, added)


def _switch_dns(network: Ec2Network, vpc_id: str, change: str, *, on: bool) -> None:
    if change == DNS_SUPPORT:
        network.set_dns_support(vpc_id, on=on)
    elif change == DNS_HOSTNAMES:
        network.set_dns_hostnames(vpc_id, on=on)


def _settled(network: Ec2Network, endpoint_id: str, clock: Clock) -> VpcEndpoint:
    """Return the endpoint once AWS has finished the change before."""

    def look() -> VpcEndpoint | None:
        endpoint = network.endpoint(endpoint_id)
        return None if endpoint.state in {"pending", "modifying"} else endpoint

    try:
        return wait_for(look, deadline_s=ENDPOINT_DEADLINE_S, clock=clock)
    except DeadlinePassed:
        raise StackFailed(
            f"Endpoint {endpoint_id} had not settled after {ENDPOINT_DEADLINE_S / 60:.0f} minutes.",
            "Run the command again to go on.",
            operation="ec2:ModifyVpcEndpoint",
        ) from None
