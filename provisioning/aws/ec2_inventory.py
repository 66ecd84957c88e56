"""EC2 resources by tag, one describe call per kind: what a deployment may have left.

Tags discover and typed describe calls confirm: the tagging index may lag a deletion by more than
45 minutes (https://github.com/aws/aws-cli/issues/8197), so it is not asked here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioning.aws.tags import as_filters, as_mapping
from provisioning.aws.translation import translated

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import TagTypeDef


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedResource:
    """An EC2 resource and its tags."""

    id: str
    tags: Mapping[str, str]


class Ec2Inventory:
    """One describe call per kind; `tags` maps a key to its value, or to None for any value."""

    def __init__(self, client: EC2Client) -> None:
        self._client = client

    @translated("ec2:DescribeVolumes")
    def volumes(self, tags: Mapping[str, str | None]) -> tuple[TaggedResource, ...]:
        """Return the volumes."""
        pages = self._client.get_paginator("describe_volumes").paginate(Filters=as_filters(tags))
        return tuple(
            _tagged(item["VolumeId"], item.get("Tags")) for page in pages for item in page["Volumes"]
        )

    @translated("ec2:DescribeSnapshots")
    def snapshots(self, tags: Mapping[str, str | None]) -> tuple[TaggedResource, ...]:
        """Return the account's own snapshots."""
        pages = self._client.get_paginator("describe_snapshots").paginate(
            OwnerIds=["self"], Filters=as_filters(tags)
        )
        return tuple(
            _tagged(item["SnapshotId"], item.get("Tags")) for page in pages for item in page["Snapshots"]
        )

    @translated("ec2:DescribeVpcs")
    def vpcs(self, tags: Mapping[str, str | None]) -> tuple[TaggedResource, ...]:
        """Return the VPCs."""
        pages = self._client.get_paginator("describe_vpcs").paginate(Filters=as_filters(tags))
        return tuple(_tagged(item["VpcId"], item.get("Tags")) for page in pages for item in page["Vpcs"])

    @translated("ec2:DescribeSubnets")
    def subnets(self, tags: Mapping[str, str | None]) -> tuple[TaggedResource, ...]:
        """Return the subnets."""
        pages = self._client.get_paginator("describe_subnets").paginate(Filters=as_filters(tags))
        return tuple(
            _tagged(item["SubnetId"], item.get("Tags")) for page in pages for item in page["Subnets"]
        )

    @translated("ec2:DescribeRouteTables")
    def route_tables(self, tags: Mapping[str, str | None]) -> tuple[TaggedResource, ...]:
        """Return the route tables."""
        pages = self._client.get_paginator("describe_route_tables").paginate(Filters=as_filters(tags))
        return tuple(
            _tagged(item["RouteTableId"], item.get("Tags")) for page in pages for item in page["RouteTables"]
        )

    @translated("ec2:DescribeSecurityGroups")
    def security_groups(self, tags: Mapping[str, str | None]) -> tuple[TaggedResource, ...]:
        """Return the security groups."""
        pages = self._client.get_paginator("describe_security_groups").paginate(Filters=as_filters(tags))
        return tuple(
            _tagged(item["GroupId"], item.get("Tags")) for page in pages for item in page["SecurityGroups"]
        )

    @translated("ec2:DescribeVpcEndpoints")
    def vpc_endpoints(self, tags: Mapping[str, str | None]) -> tuple[TaggedResource, ...]:
        """Return the VPC endpoints, without those AWS still lists after their deletion."""
        pages = self._client.get_paginator("describe_vpc_endpoints").paginate(Filters=as_filters(tags))
        return tuple(
            _tagged(item["VpcEndpointId"], item.get("Tags"))
            for page in pages
            for item in page["VpcEndpoints"]
            if item.get("State", "").lower() != "deleted"
        )

    @translated("ec2:DescribeNetworkInterfaces")
    def network_interfaces(self, tags: Mapping[str, str | None]) -> tuple[TaggedResource, ...]:
        """Return the network interfaces."""
        pages = self._client.get_paginator("describe_network_interfaces").paginate(Filters=as_filters(tags))
        return tuple(
            _tagged(item["NetworkInterfaceId"], item.get("TagSet"))
            for page in pages
            for item in page["NetworkInterfaces"]
        )

    @translated("ec2:DescribeLaunchTemplates")
    def launch_templates(self, tags: Mapping[str, str | None]) -> tuple[TaggedResource, ...]:
        """Return the launch templates."""
        pages = self._client.get_paginator("describe_launch_templates").paginate(Filters=as_filters(tags))
        return tuple(
            _tagged(item["LaunchTemplateId"], item.get("Tags"))
            for page in pages
            for item in page["LaunchTemplates"]
        )


def _tagged(resource_id: str, tags: Iterable[TagTypeDef] | None) -> TaggedResource:
    return TaggedResource(id=resource_id, tags=as_mapping(tags or ()))
