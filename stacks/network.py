"""Where hosts live: subnets that have no way to the internet and none back."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from aws_cdk import aws_ec2 as ec2
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_cdk import CfnResource

    from stacks.spec import NetworkSpec

VPC_BLOCK = IPv4Network("10.83.0.0/16")  # away from the 10.0.0.0/16 of most VPCs: peering stays possible
SUBNET_PREFIX = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A VPC, new or existing, as the other parts see it."""

    vpc_id: str
    subnet_ids: tuple[str, ...]
    route_table_ids: tuple[str, ...]  # none known: no gateway to S3 can be made
    routes: tuple[CfnResource, ...] = ()  # what must exist before a host can use a gateway

    @property
    def first_subnet(self) -> str:
        """The subnet in the first zone."""
        return self.subnet_ids[0]

    @property
    def second_subnet(self) -> str:
        """The subnet in the second zone; the first where there is one only."""
        return self.subnet_ids[min(1, len(self.subnet_ids) - 1)]


def existing_network(spec: NetworkSpec) -> Network:
    """Return a VPC that is already there; its ids are taken as they are, never looked up."""
    return Network(vpc_id=spec.vpc_id or "", subnet_ids=spec.subnet_ids, route_table_ids=spec.route_table_ids)


class PrivateVpc(Construct):
    """A new VPC with one isolated subnet in each zone: no gateway to the internet, no NAT, no public IP."""

    def __init__(self, scope: Construct, construct_id: str, *, zones: Sequence[str]) -> None:
        super().__init__(scope, construct_id)
        # Private DNS names of the interface endpoints need both DNS attributes.
        vpc = ec2.CfnVPC(
            self, "Vpc", cidr_block=str(VPC_BLOCK), enable_dns_hostnames=True, enable_dns_support=True
        )
        routes = ec2.CfnRouteTable(self, "Routes", vpc_id=vpc.ref)
        blocks = VPC_BLOCK.subnets(new_prefix=SUBNET_PREFIX)
        subnets = [
            self._subnet(number, vpc=vpc, zone=zone, cidr_block=str(block))
            for number, (zone, block) in enumerate(zip(zones, blocks, strict=False), start=1)
        ]
        self.network = Network(
            vpc_id=vpc.ref,
            subnet_ids=tuple(subnet.ref for subnet in subnets),
            route_table_ids=(routes.ref,),
            routes=tuple(self._association(n, subnet, routes) for n, subnet in enumerate(subnets, start=1)),
        )

    def _subnet(self, number: int, *, vpc: ec2.CfnVPC, zone: str, cidr_block: str) -> ec2.CfnSubnet:
        return ec2.CfnSubnet(
            self,
            f"Subnet{number}",
            vpc_id=vpc.ref,
            availability_zone=zone,
            cidr_block=cidr_block,
            map_public_ip_on_launch=False,
        )

    def _association(self, number: int, subnet: ec2.CfnSubnet, routes: ec2.CfnRouteTable) -> CfnResource:
        return ec2.CfnSubnetRouteTableAssociation(
            self, f"Routing{number}", subnet_id=subnet.ref, route_table_id=routes.ref
        )
