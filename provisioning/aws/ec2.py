"""EC2: what a region offers, the networks a deployment can use, and its hosts."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioning.aws.tags import as_filters, as_mapping
from provisioning.aws.translation import translated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef, SubnetTypeDef


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneRecord:
    """An availability zone: its name in this account, and its id in all accounts."""

    name: str
    id: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRecord:
    """A host."""

    instance_id: str
    instance_type: str
    state: str
    zone: str
    vpc_id: str
    subnet_id: str
    private_ip: str
    launched: datetime | None
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class VpcRecord:
    """A network, and whether private endpoints can be reached by name in it."""

    vpc_id: str
    cidr: str
    dns_support: bool
    dns_hostnames: bool
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetRecord:
    """A subnet and its zone."""

    subnet_id: str
    vpc_id: str
    zone: str
    cidr: str
    free_addresses: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """A machine image."""

    image_id: str
    name: str
    architecture: str
    state: str
    root_device: str  # "/dev/xvda", "/dev/sda1"


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceRecord:
    """A network interface; `type` tells who made it ("interface", "vpc_endpoint", ...)."""

    interface_id: str
    type: str
    status: str
    description: str
    instance_id: str = ""  # the instance of this account that it hangs on


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRecord:
    """A VPC endpoint: an interface one is billed in each of its subnets, a gateway one is free."""

    endpoint_id: str
    service: str
    kind: str  # "Interface" or "Gateway"
    state: str
    subnet_ids: tuple[str, ...]


class Ec2:
    """The EC2 calls this project makes to plan a deployment and to find its hosts."""

    def __init__(self, client: EC2Client) -> None:
        self._client = client

    @translated("ec2:DescribeRegions")
    def regions(self) -> tuple[str, ...]:
        """Return the names of the regions the account may use."""
        return tuple(sorted(region["RegionName"] for region in self._client.describe_regions()["Regions"]))

    @translated("ec2:DescribeAvailabilityZones")
    def zones(self) -> tuple[ZoneRecord, ...]:
        """Return the availability zones of the region."""
        answer = self._client.describe_availability_zones(
            Filters=[{"Name": "zone-type", "Values": ["availability-zone"]}]
        )
        return tuple(
            ZoneRecord(name=zone["ZoneName"], id=zone["ZoneId"], state=zone["State"])
            for zone in answer["AvailabilityZones"]
        )

    @translated("ec2:DescribeInstanceTypeOfferings")
    def instance_type_zones(self, instance_types: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Return the names of the zones that offer each of the types; an empty tuple means none does."""
        pages = self._client.get_paginator("describe_instance_type_offerings").paginate(
            LocationType="availability-zone",
            Filters=[{"Name": "instance-type", "Values": list(instance_types)}],
        )
        zones: dict[str, set[str]] = defaultdict(set)
        for page in pages:
            for offering in page["InstanceTypeOfferings"]:
                zones[offering["InstanceType"]].add(offering["Location"])
        return {name: tuple(sorted(zones[name])) for name in instance_types}

    @translated("ec2:DescribeManagedPrefixLists")
    def s3_prefix_list_id(self, region: str | None = None) -> str | None:
        """Return the id of the prefix list that stands for S3's addresses in the region, or None."""
        name = f"com.amazonaws.{region or self._client.meta.region_name}.s3"
        pages = self._client.get_paginator("describe_managed_prefix_lists").paginate(
            Filters=[{"Name": "prefix-list-name", "Values": [name]}]
        )
        lists = [entry["PrefixListId"] for page in pages for entry in page["PrefixLists"]]
        return lists[0] if lists else None

    @translated("ec2:DescribeVpcs")
    def vpc(self, vpc_id: str) -> VpcRecord | None:
        """Return the VPC with its DNS attributes, or None."""
        # A filter, because asking by id makes a missing VPC an error.
        answer = self._client.describe_vpcs(Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])
        if not answer["Vpcs"]:
            return None
        support = self._client.describe_vpc_attribute(VpcId=vpc_id, Attribute="enableDnsSupport")
        hostnames = self._client.describe_vpc_attribute(VpcId=vpc_id, Attribute="enableDnsHostnames")
        return VpcRecord(
            vpc_id=vpc_id,
            cidr=answer["Vpcs"][0]["CidrBlock"],
            dns_support=support["EnableDnsSupport"].get("Value", False),
            dns_hostnames=hostnames["EnableDnsHostnames"].get("Value", False),
            tags=as_mapping(answer["Vpcs"][0].get("Tags", [])),
        )

    @translated("ec2:DescribeSubnets")
    def subnets(self, ids: Sequence[str]) -> tuple[SubnetRecord, ...]:
        """Return those of the subnets that exist, in the order asked."""
        pages = self._client.get_paginator("describe_subnets").paginate(
            Filters=[{"Name": "subnet-id", "Values": list(ids)}]
        )
        found = {subnet["SubnetId"]: _subnet(subnet) for page in pages for subnet in page["Subnets"]}
        return tuple(found[subnet_id] for subnet_id in ids if subnet_id in found)

    @translated("ec2:DescribeInstances")
    def instances(self, tags: Mapping[str, str | None]) -> tuple[InstanceRecord, ...]:
        """Return the instances with these tags (None: any value) that are not terminated."""
        alive = ["pending", "running", "stopping", "stopped", "shutting-down"]
        pages = self._client.get_paginator("describe_instances").paginate(
            Filters=[*as_filters(tags), {"Name": "instance-state-name", "Values": alive}]
        )
        return tuple(
            _instance(instance)
            for page in pages
            for reservation in page["Reservations"]
            for instance in reservation.get("Instances", [])
        )

    @translated("ec2:DescribeVpcEndpoints")
    def vpc_endpoints(self, tags: Mapping[str, str | None]) -> tuple[EndpointRecord, ...]:
        """Return the VPC endpoints with these tags (None: any value)."""
        pages = self._client.get_paginator("describe_vpc_endpoints").paginate(Filters=as_filters(tags))
        return tuple(
            EndpointRecord(
                endpoint_id=endpoint["VpcEndpointId"],
                service=endpoint["ServiceName"],
                kind=endpoint["VpcEndpointType"],
                state=endpoint["State"],
                subnet_ids=tuple(endpoint.get("SubnetIds", [])),
            )
            for page in pages
            for endpoint in page["VpcEndpoints"]
        )

    @translated("ec2:DescribeImages")
    def image(self, image_id: str) -> ImageRecord | None:
        """Return the image, or None."""
        answer = self._client.describe_images(Filters=[{"Name": "image-id", "Values": [image_id]}])
        return next(
            (
                ImageRecord(
                    image_id=image["ImageId"],
                    name=image.get("Name", ""),
                    architecture=image["Architecture"],
                    state=image["State"],
                    root_device=image.get("RootDeviceName", ""),
                )
                for image in answer["Images"]
            ),
            None,
        )

    @translated("ec2:DescribeKeyPairs")
    def has_key_pair(self, name: str) -> bool:
        """Return whether the region has a key pair of that name."""
        # A filter, because asking by name makes a missing one an error.
        answer = self._client.describe_key_pairs(Filters=[{"Name": "key-name", "Values": [name]}])
        return bool(answer["KeyPairs"])

    @translated("ec2:DescribeNetworkInterfaces")
    def interfaces_in(self, vpc_id: str) -> tuple[InterfaceRecord, ...]:
        """Return every network interface in the VPC."""
        pages = self._client.get_paginator("describe_network_interfaces").paginate(
            Filters=[{"Name": "vpc-id", "Values": [vpc_id]}]
        )
        return tuple(
            InterfaceRecord(
                interface_id=interface["NetworkInterfaceId"],
                type=interface.get("InterfaceType", "interface"),
                status=interface["Status"],
                description=interface.get("Description", ""),
                instance_id=interface.get("Attachment", {}).get("InstanceId", ""),
            )
            for page in pages
            for interface in page["NetworkInterfaces"]
        )

    @translated("ec2:DescribeVpcEndpoints")
    def endpoint_interfaces(self, vpc_id: str) -> frozenset[str]:
        """Return the ids of the network interfaces that belong to the VPC's endpoints."""
        pages = self._client.get_paginator("describe_vpc_endpoints").paginate(
            Filters=[{"Name": "vpc-id", "Values": [vpc_id]}]
        )
        return frozenset(
            interface
            for page in pages
            for endpoint in page["VpcEndpoints"]
            for interface in endpoint.get("NetworkInterfaceIds", [])
        )


def _subnet(answer: SubnetTypeDef) -> SubnetRecord:
    return SubnetRecord(
        subnet_id=answer["SubnetId"],
        vpc_id=answer["VpcId"],
        zone=answer["AvailabilityZone"],
        cidr=answer["CidrBlock"],
        free_addresses=answer["AvailableIpAddressCount"],
    )


def _instance(answer: InstanceTypeDef) -> InstanceRecord:
    return InstanceRecord(
        instance_id=answer["InstanceId"],
        instance_type=answer["InstanceType"],
        state=answer["State"]["Name"],
        zone=answer.get("Placement", {}).get("AvailabilityZone", ""),
        vpc_id=answer.get("VpcId", ""),
        subnet_id=answer.get("SubnetId", ""),
        private_ip=answer.get("PrivateIpAddress", ""),
        launched=answer.get("LaunchTime"),
        tags=as_mapping(answer.get("Tags", [])),
    )
