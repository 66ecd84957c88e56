from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from provisioning.aws.autoscaling import AutoScaling
from provisioning.aws.ec2_network import Ec2Network
from provisioning.errors import NotFound

if TYPE_CHECKING:
    from tests.provisioning.aws.conftest import StubService

ENDPOINT = {
    "VpcEndpointId": "vpce-1",
    "VpcEndpointType": "Interface",
    "ServiceName": "com.amazonaws.us-west-2.ssmmessages",
    "State": "Available",  # EC2 writes it both ways
    "SubnetIds": ["subnet-1"],
    "Groups": [{"GroupId": "sg-1", "GroupName": "theirs"}],
    "PrivateDnsEnabled": True,
    "Tags": [{"Key": "amazonei:repair:demo", "Value": "subnet-1"}],
}


def test_endpoints_are_read_over_all_pages_by_their_vpc(stub: StubService) -> None:
    client, stubber = stub("ec2")
    asked = {"Filters": [{"Name": "vpc-id", "Values": ["vpc-1"]}]}
    stubber.add_response("describe_vpc_endpoints", {"VpcEndpoints": [ENDPOINT], "NextToken": "2"}, asked)
    gateway = ENDPOINT | {"VpcEndpointId": "vpce-2", "VpcEndpointType": "Gateway", "RouteTableIds": ["rtb-1"]}
    stubber.add_response(
        "describe_vpc_endpoints",
        {"VpcEndpoints": [gateway | {"ServiceName": "com.amazonaws.us-west-2.elastic-inference.runtime"}]},
        {**asked, "NextToken": "2"},
    )
    first, second = Ec2Network(client).endpoints_of("vpc-1")
    assert (first.service, first.state, first.group_ids, first.private_dns) == (
        *("ssmmessages", "available", ("sg-1",)),
        True,
    )
    assert first.tags == {"amazonei:repair:demo": "subnet-1"}
    assert (second.kind, second.service, second.route_table_ids) == (
        *("Gateway", "elastic-inference.runtime"),
        ("rtb-1",),
    )


def test_what_a_deployment_repaired_is_found_by_the_tags_key(stub: StubService) -> None:
    client, stubber = stub("ec2")
    asked = {"Filters": [{"Name": "tag-key", "Values": ["amazonei:repair:demo"]}]}
    stubber.add_response("describe_vpc_endpoints", {"VpcEndpoints": [ENDPOINT]}, asked)
    tags = [{"Key": "amazonei:repair:demo", "Value": "dns-support"}]
    stubber.add_response("describe_vpcs", {"Vpcs": [{"VpcId": "vpc-1", "Tags": tags}]}, asked)
    network = Ec2Network(client)
    assert [each.endpoint_id for each in network.endpoints_tagged("amazonei:repair:demo")] == ["vpce-1"]
    (vpc,) = network.vpcs_tagged("amazonei:repair:demo")
    assert (vpc.vpc_id, vpc.tags) == ("vpc-1", {"amazonei:repair:demo": "dns-support"})


def test_an_endpoint_that_is_gone_is_not_found(stub: StubService) -> None:
    client, stubber = stub("ec2")
    stubber.add_client_error("describe_vpc_endpoints", "InvalidVpcEndpointId.NotFound", "gone", 400)
    with pytest.raises(NotFound):
        Ec2Network(client).endpoint("vpce-1")


def test_a_route_table_knows_its_subnets_and_whether_it_is_the_main_one(stub: StubService) -> None:
    client, stubber = stub("ec2")
    tables = [
        {"RouteTableId": "rtb-1", "Associations": [{"Main": True}]},
        {"RouteTableId": "rtb-2", "Associations": [{"Main": False, "SubnetId": "subnet-2"}]},
    ]
    stubber.add_response(
        "describe_route_tables",
        {"RouteTables": tables},
        {"Filters": [{"Name": "vpc-id", "Values": ["vpc-1"]}]},
    )
    found = Ec2Network(client).route_tables_of("vpc-1")
    assert [(each.table_id, each.subnet_ids, each.is_main) for each in found] == [
        ("rtb-1", (), True),
        ("rtb-2", ("subnet-2",), False),
    ]


def test_each_change_is_one_request_with_nothing_else_in_it(stub: StubService) -> None:
    client, stubber = stub("ec2")
    dns = {"VpcId": "vpc-1"}
    stubber.add_response("modify_vpc_attribute", {}, dns | {"EnableDnsSupport": {"Value": True}})
    stubber.add_response("modify_vpc_attribute", {}, dns | {"EnableDnsHostnames": {"Value": False}})
    endpoint = {"VpcEndpointId": "vpce-1"}
    stubber.add_response("modify_vpc_endpoint", {}, endpoint | {"PrivateDnsEnabled": False})
    stubber.add_response("modify_vpc_endpoint", {}, endpoint | {"AddSubnetIds": ["subnet-1"]})
    stubber.add_response("modify_vpc_endpoint", {}, endpoint | {"RemoveSubnetIds": ["subnet-1"]})
    tag = {"Key": "amazonei:repair:demo", "Value": "dns-support"}
    stubber.add_response("create_tags", {}, {"Resources": ["vpc-1"], "Tags": [tag]})
    stubber.add_response("delete_tags", {}, {"Resources": ["vpc-1"], "Tags": [{"Key": tag["Key"]}]})
    network = Ec2Network(client)
    network.set_dns_support("vpc-1", on=True)
    network.set_dns_hostnames("vpc-1", on=False)
    network.set_private_dns("vpce-1", on=False)
    network.add_subnets("vpce-1", ["subnet-1"])
    network.remove_subnets("vpce-1", ["subnet-1"])
    network.tag("vpc-1", tag["Key"], tag["Value"])
    network.untag("vpc-1", tag["Key"])


def test_groups_are_found_by_tag(stub: StubService) -> None:
    client, stubber = stub("autoscaling")
    group = {
        "AutoScalingGroupName": "fleet",
        "MinSize": 3,
        "MaxSize": 3,
        "DesiredCapacity": 3,
        "DefaultCooldown": 300,
        "AvailabilityZones": ["us-west-2a"],
        "HealthCheckType": "EC2",
        "CreatedTime": "2026-11-21T00:00:00Z",
        "Tags": [{"Key": "amazonei:deployment", "Value": "demo"}],
    }
    stubber.add_response(
        "describe_auto_scaling_groups",
        {"AutoScalingGroups": [group]},
        {"Filters": [{"Name": "tag:amazonei:deployment", "Values": ["demo"]}]},
    )
    (found,) = AutoScaling(client).groups({"amazonei:deployment": "demo"})
    assert (found.name, found.size, found.tags) == ("fleet", 3, {"amazonei:deployment": "demo"})
