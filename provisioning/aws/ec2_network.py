"""An existing network: its endpoints and routes, and the few changes of it that a plan may show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioning.aws.tags import as_mapping
from provisioning.aws.translation import translated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef, RouteTableTypeDef, VpcEndpointTypeDef


@dataclass(frozen=True, slots=True, kw_only=True)
class VpcEndpoint:
    """An endpoint of a VPC, whoever made it."""

    endpoint_id: str
    service: str  # without `com.amazonaws.<region>.`
    kind: str  # "Interface" or "Gateway"
    state: str  # lower case: "available", "pending", ...
    subnet_ids: tuple[str, ...]
    group_ids: tuple[str, ...]
    route_table_ids: tuple[str, ...]
    private_dns: bool
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTable:
    """A route table and the subnets that name it; the main one is for those that name none."""

    table_id: str
    subnet_ids: tuple[str, ...]
    is_main: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedVpc:
    """A VPC and its tags."""

    vpc_id: str
    tags: Mapping[str, str]


class Ec2Network:
    """The EC2 calls about networks that are somebody else's."""

    def __init__(self, client: EC2Client) -> None:
        self._client = client

    @translated("ec2:DescribeVpcEndpoints")
    def endpoints_of(self, vpc_id: str) -> tuple[VpcEndpoint, ...]:
        """Return the endpoints of a VPC."""
        return self._endpoints([{"Name": "vpc-id", "Values": [vpc_id]}])

    @translated("ec2:DescribeVpcEndpoints")
    def endpoint(self, endpoint_id: str) -> VpcEndpoint:
        """Return one endpoint; raise `NotFound` when there is none."""
        answer = self._client.describe_vpc_endpoints(VpcEndpointIds=[endpoint_id])
        return _endpoint(answer["VpcEndpoints"][0])

    @translated("ec2:DescribeVpcEndpoints")
    def endpoints_tagged(self, key: str) -> tuple[VpcEndpoint, ...]:
        """Return the endpoints that carry a tag; the key may end in *."""
        return self._endpoints([{"Name": "tag-key", "Values": [key]}])

    def _endpoints(self, filters: list[FilterTypeDef]) -> tuple[VpcEndpoint, ...]:
        pages = self._client.get_paginator("describe_vpc_endpoints").paginate(Filters=filters)
        return tuple(_endpoint(answer) for page in pages for answer in page["VpcEndpoints"])

    @translated("ec2:DescribeRouteTables")
    def route_tables_of(self, vpc_id: str) -> tuple[RouteTable, ...]:
        """Return the route tables of a VPC."""
        pages = self._client.get_paginator("describe_route_tables").paginate(
            Filters=[{"Name": "vpc-id", "Values": [vpc_id]}]
        )
        return tuple(_route_table(answer) for page in pages for answer in page["RouteTables"])

    @translated("ec2:DescribeVpcs")
    def vpcs_tagged(self, key: str) -> tuple[TaggedVpc, ...]:
        """Return the VPCs that carry a tag; the key may end in *."""
        pages = self._client.get_paginator("describe_vpcs").paginate(
            Filters=[{"Name": "tag-key", "Values": [key]}]
        )
        return tuple(
            TaggedVpc(vpc_id=answer["VpcId"], tags=as_mapping(answer.get("Tags", [])))
            for page in pages
            for answer in page["Vpcs"]
        )

    @translated("ec2:ModifyVpcAttribute")
    def set_dns_support(self, vpc_id: str, *, on: bool) -> None:
        """Let the VPC's resolver answer, or not."""
        self._client.modify_vpc_attribute(VpcId=vpc_id, EnableDnsSupport={"Value": on})

    @translated("ec2:ModifyVpcAttribute")
    def set_dns_hostnames(self, vpc_id: str, *, on: bool) -> None:
        """Give hosts in the VPC names, or not."""
        self._client.modify_vpc_attribute(VpcId=vpc_id, EnableDnsHostnames={"Value": on})

    @translated("ec2:ModifyVpcEndpoint")
    def set_private_dns(self, endpoint_id: str, *, on: bool) -> None:
        """Let an endpoint answer to its service's public name, or not."""
        self._client.modify_vpc_endpoint(VpcEndpointId=endpoint_id, PrivateDnsEnabled=on)

    @translated("ec2:ModifyVpcEndpoint")
    def add_subnets(self, endpoint_id: str, subnet_ids: Sequence[str]) -> None:
        """Put an endpoint into more subnets."""
        self._client.modify_vpc_endpoint(VpcEndpointId=endpoint_id, AddSubnetIds=list(subnet_ids))

    @translated("ec2:ModifyVpcEndpoint")
    def remove_subnets(self, endpoint_id: str, subnet_ids: Sequence[str]) -> None:
        """Take an endpoint out of subnets."""
        self._client.modify_vpc_endpoint(VpcEndpointId=endpoint_id, RemoveSubnetIds=list(subnet_ids))

    @translated("ec2:CreateTags")
    def tag(self, resource_id: str, key: str, value: str) -> None:
        """Set one tag."""
        self._client.create_tags(Resources=[resource_id], Tags=[{"Key": key, "Value": value}])

    @translated("ec2:DeleteTags")
    def untag(self, resource_id: str, key: str) -> None:
        """Remove one tag, whatever its value."""
        self._client.delete_tags(Resources=[resource_id], Tags=[{"Key": key}])


def _endpoint(answer: VpcEndpointTypeDef) -> VpcEndpoint:
    return VpcEndpoint(
        endpoint_id=answer["VpcEndpointId"],
        service=".".join(answer["ServiceName"].split(".")[3:]),
        kind=answer["VpcEndpointType"],
        state=answer["State"].lower(),
        subnet_ids=tuple(answer.get("SubnetIds", [])),
        group_ids=tuple(group["GroupId"] for group in answer.get("Groups", []) if "GroupId" in group),
        route_table_ids=tuple(answer.get("RouteTableIds", [])),
        private_dns=answer.get("PrivateDnsEnabled", False),
        tags=as_mapping(answer.get("Tags", [])),
    )


def _route_table(answer: RouteTableTypeDef) -> RouteTable:
    associations = answer.get("Associations", [])
    return RouteTable(
        table_id=answer["RouteTableId"],
        subnet_ids=tuple(each["SubnetId"] for each in associations if "SubnetId" in each),
        is_main=any(each.get("Main", False) for each in associations),
    )
