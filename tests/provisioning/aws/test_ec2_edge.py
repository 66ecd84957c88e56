from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from provisioning.aws.ec2 import Ec2
from provisioning.aws.ec2_inventory import Ec2Inventory

if TYPE_CHECKING:
    from tests.provisioning.aws.conftest import StubService

ALIVE = ["pending", "running", "stopping", "stopped", "shutting-down"]
TAG = "amazonei:deployment"


def test_a_type_that_no_zone_offers_has_an_empty_row(stub: StubService) -> None:
    client, stubber = stub("ec2")
    asked = {
        "LocationType": "availability-zone",
        "Filters": [{"Name": "instance-type", "Values": ["inf2.xlarge", "inf1.xlarge"]}],
    }
    row = {"InstanceType": "inf2.xlarge", "LocationType": "availability-zone"}
    stubber.add_response(
        "describe_instance_type_offerings",
        {"InstanceTypeOfferings": [row | {"Location": "us-west-2c"}], "NextToken": "2"},
        asked,
    )
    stubber.add_response(
        "describe_instance_type_offerings",
        {"InstanceTypeOfferings": [row | {"Location": "us-west-2a"}]},
        {**asked, "NextToken": "2"},
    )
    zones = Ec2(client).instance_type_zones(["inf2.xlarge", "inf1.xlarge"])
    assert zones == {"inf2.xlarge": ("us-west-2a", "us-west-2c"), "inf1.xlarge": ()}


def test_hosts_are_found_by_tag_and_terminated_ones_are_not_hosts(stub: StubService) -> None:
    client, stubber = stub("ec2")
    asked = {
        "Filters": [
            {"Name": f"tag:{TAG}", "Values": ["demo"]},
            {"Name": "instance-state-name", "Values": ALIVE},
        ]
    }
    instance = {
        "InstanceId": "i-1",
        "InstanceType": "c7i.xlarge",
        "State": {"Name": "running"},
        "Placement": {"AvailabilityZone": "us-west-2a"},
        "PrivateIpAddress": "10.0.0.4",
        "Tags": [{"Key": TAG, "Value": "demo"}],
    }
    stubber.add_response(
        "describe_instances", {"Reservations": [{"Instances": [instance]}], "NextToken": "2"}, asked
    )
    stubber.add_response(
        "describe_instances",
        {"Reservations": [{"Instances": [instance | {"InstanceId": "i-2"}]}]},
        {**asked, "NextToken": "2"},
    )
    hosts = Ec2(client).instances({TAG: "demo"})
    assert [(host.instance_id, host.zone, host.private_ip) for host in hosts] == [
        ("i-1", "us-west-2a", "10.0.0.4"),
        ("i-2", "us-west-2a", "10.0.0.4"),
    ]
    assert hosts[0].tags == {TAG: "demo"}


@pytest.mark.parametrize(("lists", "expected"), [([{"PrefixListId": "pl-1"}], "pl-1"), ([], None)])
def test_the_prefix_list_of_s3_is_the_one_of_the_region(
    stub: StubService, lists: list[dict[str, str]], expected: str | None
) -> None:
    client, stubber = stub("ec2")
    stubber.add_response(
        "describe_managed_prefix_lists",
        {"PrefixLists": lists},
        {"Filters": [{"Name": "prefix-list-name", "Values": ["com.amazonaws.us-west-2.s3"]}]},
    )
    assert Ec2(client).s3_prefix_list_id() == expected


def test_a_vpc_is_read_with_its_dns_attributes(stub: StubService) -> None:
    client, stubber = stub("ec2")
    stubber.add_response(
        "describe_vpcs",
        {"Vpcs": [{"VpcId": "vpc-1", "CidrBlock": "10.0.0.0/16"}]},
        {"Filters": [{"Name": "vpc-id", "Values": ["vpc-1"]}]},
    )
    stubber.add_response(
        "describe_vpc_attribute",
        {"EnableDnsSupport": {"Value": True}},
        {"VpcId": "vpc-1", "Attribute": "enableDnsSupport"},
    )
    stubber.add_response(
        "describe_vpc_attribute",
        {"EnableDnsHostnames": {"Value": False}},
        {"VpcId": "vpc-1", "Attribute": "enableDnsHostnames"},
    )
    vpc = Ec2(client).vpc("vpc-1")
    assert vpc is not None
    assert (vpc.dns_support, vpc.dns_hostnames, vpc.cidr) == (True, False, "10.0.0.0/16")


def test_a_vpc_that_is_not_there_is_none_and_its_attributes_are_not_asked(stub: StubService) -> None:
    client, stubber = stub("ec2")
    stubber.add_response(
        "describe_vpcs", {"Vpcs": []}, {"Filters": [{"Name": "vpc-id", "Values": ["vpc-9"]}]}
    )
    assert Ec2(client).vpc("vpc-9") is None


def test_subnets_come_in_the_order_asked_and_missing_ones_are_left_out(stub: StubService) -> None:
    client, stubber = stub("ec2")
    row = {"VpcId": "vpc-1", "AvailabilityZone": "us-west-2a", "CidrBlock": "10.0.0.0/24"}
    stubber.add_response(
        "describe_subnets",
        {
            "Subnets": [
                row | {"SubnetId": "s-1", "AvailableIpAddressCount": 7},
                row | {"SubnetId": "s-2", "AvailableIpAddressCount": 8},
            ]
        },
        {"Filters": [{"Name": "subnet-id", "Values": ["s-2", "s-9", "s-1"]}]},
    )
    subnets = Ec2(client).subnets(["s-2", "s-9", "s-1"])
    assert [(subnet.subnet_id, subnet.free_addresses) for subnet in subnets] == [("s-2", 8), ("s-1", 7)]


def test_only_interfaces_of_endpoints_are_endpoint_interfaces(stub: StubService) -> None:
    client, stubber = stub("ec2")
    asked = {"Filters": [{"Name": "vpc-id", "Values": ["vpc-1"]}]}
    stubber.add_response(
        "describe_vpc_endpoints",
        {"VpcEndpoints": [{"NetworkInterfaceIds": ["eni-1", "eni-2"]}, {"VpcEndpointType": "Gateway"}]},
        asked,
    )
    stubber.add_response(
        "describe_network_interfaces",
        {"NetworkInterfaces": [{"NetworkInterfaceId": "eni-3", "Status": "in-use"}]},
        asked,
    )
    edge = Ec2(client)
    assert edge.endpoint_interfaces("vpc-1") == {"eni-1", "eni-2"}
    assert [interface.interface_id for interface in edge.interfaces_in("vpc-1")] == ["eni-3"]


def test_regions_zones_and_images_are_read(stub: StubService) -> None:
    client, stubber = stub("ec2")
    stubber.add_response("describe_regions", {"Regions": [{"RegionName": "b"}, {"RegionName": "a"}]}, {})
    stubber.add_response(
        "describe_availability_zones",
        {"AvailabilityZones": [{"ZoneName": "us-west-2a", "ZoneId": "usw2-az1", "State": "available"}]},
        {"Filters": [{"Name": "zone-type", "Values": ["availability-zone"]}]},
    )
    stubber.add_response(
        "describe_images", {"Images": []}, {"Filters": [{"Name": "image-id", "Values": ["ami-1"]}]}
    )
    edge = Ec2(client)
    assert edge.regions() == ("a", "b")
    assert edge.zones()[0].id == "usw2-az1"
    assert edge.image("ami-1") is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [("demo", {"Name": f"tag:{TAG}", "Values": ["demo"]}), (None, {"Name": "tag-key", "Values": [TAG]})],
)
def test_the_inventory_asks_for_one_deployment_or_for_any(
    stub: StubService, value: str | None, expected: dict[str, object]
) -> None:
    client, stubber = stub("ec2")
    stubber.add_response(
        "describe_volumes",
        {"Volumes": [{"VolumeId": "vol-1", "Tags": [{"Key": TAG, "Value": "demo"}]}]},
        {"Filters": [expected]},
    )
    (volume,) = Ec2Inventory(client).volumes({TAG: value})
    assert (volume.id, volume.tags[TAG]) == ("vol-1", "demo")


def test_only_the_accounts_own_snapshots_are_asked_for(stub: StubService) -> None:
    client, stubber = stub("ec2")
    stubber.add_response(
        "describe_snapshots",
        {"Snapshots": []},
        {"OwnerIds": ["self"], "Filters": [{"Name": "tag-key", "Values": [TAG]}]},
    )
    assert Ec2Inventory(client).snapshots({TAG: None}) == ()


def test_an_endpoint_that_is_deleted_but_still_listed_is_not_there(stub: StubService) -> None:
    client, stubber = stub("ec2")
    stubber.add_response(
        "describe_vpc_endpoints",
        {
            "VpcEndpoints": [
                {"VpcEndpointId": "vpce-1", "State": "deleted"},
                {"VpcEndpointId": "vpce-2", "State": "deleting"},
            ]
        },
        {"Filters": [{"Name": "tag-key", "Values": [TAG]}]},
    )
    assert [item.id for item in Ec2Inventory(client).vpc_endpoints({TAG: None})] == ["vpce-2"]
