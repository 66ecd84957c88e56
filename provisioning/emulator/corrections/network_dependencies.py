"""Corrections of network deletion: what is in use is not deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ec2.exceptions import DependencyViolationError

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.wrapping import Function, wrap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from moto.ec2.models import EC2Backend
    from moto.ec2.models.elastic_network_interfaces import NetworkInterface

_GROUP = Anchor(
    "moto.ec2.models.security_groups:SecurityGroupBackend.delete_security_group", "a4ecd73b9bdc31b4"
)
_SUBNET = Anchor("moto.ec2.models.subnets:SubnetBackend.delete_subnet", "6711864a788d5784")
_VPC = Anchor("moto.ec2.models.vpcs:VPCBackend.delete_vpc", "eb02ac4cb079821d")


def _interfaces(backend: EC2Backend) -> Iterator[NetworkInterface]:
    for interface in list(backend.enis.values()):
        # An interface goes with its instance; moto may keep the record of it.
        if interface.instance is None or interface.instance.state != "terminated":
            yield interface


def _deleting_group(original: Function) -> Function:
    def delete_security_group(self: EC2Backend, name: str | None = None, group_id: str | None = None) -> Any:
        group = self.get_security_group_by_name_or_id(group_id or name or "")
        if group is not None and (_group_is_used(self, group.id) or _group_is_named(self, group.id)):
            raise DependencyViolationError(f"resource {group.id} has a dependent object")
        return original(self, name, group_id)

    return delete_security_group


def _group_is_used(backend: EC2Backend, group_id: str) -> bool:
    return any(group.id == group_id for each in _interfaces(backend) for group in each.group_set)


def _group_is_named(backend: EC2Backend, group_id: str) -> bool:
    others = (
        group for groups in backend.groups.values() for group in groups.values() if group.id != group_id
    )
    rules = (rule for group in others for rule in (*group.ingress_rules, *group.egress_rules))
    return any((rule.source_group or {}).get("GroupId") == group_id for rule in rules)


def _deleting_subnet(original: Function) -> Function:
    def delete_subnet(self: EC2Backend, subnet_id: str) -> Any:
        if any(interface.subnet.id == subnet_id for interface in _interfaces(self)):
            raise DependencyViolationError(
                f"The subnet '{subnet_id}' has dependencies and cannot be deleted."
            )
        return original(self, subnet_id)

    return delete_subnet


def _deleting_vpc(original: Function) -> Function:
    def delete_vpc(self: EC2Backend, vpc_id: str) -> Any:
        groups = [group for group in self.groups.get(vpc_id, {}).values() if not group.is_default]
        endpoints = [each for each in self.vpc_end_points.values() if each.vpc_id == vpc_id]
        interfaces = [each for each in _interfaces(self) if each.vpc_id == vpc_id]
        if groups or endpoints or interfaces:
            raise DependencyViolationError(f"The vpc '{vpc_id}' has dependencies and cannot be deleted.")
        return original(self, vpc_id)

    return delete_vpc


_REFERENCE = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/"

CORRECTIONS = (
    Correction(
        name="security-group-in-use",
        statement="A security group that an interface or another group's rule uses cannot be deleted.",
        source=_REFERENCE + "API_DeleteSecurityGroup.html",
        anchors=(_GROUP,),
        install=wrap((_GROUP, _deleting_group)),
    ),
    Correction(
        name="subnet-in-use",
        statement="A subnet with a network interface in it cannot be deleted.",
        source=_REFERENCE + "API_DeleteSubnet.html",
        anchors=(_SUBNET,),
        install=wrap((_SUBNET, _deleting_subnet)),
    ),
    Correction(
        name="vpc-in-use",
        statement="A VPC with endpoints, interfaces or security groups of its own cannot be deleted.",
        source=_REFERENCE + "API_DeleteVpc.html",
        anchors=(_VPC,),
        install=wrap((_VPC, _deleting_vpc)),
    ),
)
