"""A template's network is the declared one, and goes with its stack."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

VPC: dict[str, Any] = {
    "Type": "AWS::EC2::VPC",
    "Properties": {"CidrBlock": "10.0.0.0/16", "EnableDnsSupport": True, "EnableDnsHostnames": True},
}
SUBNET: dict[str, Any] = {
    "Type": "AWS::EC2::Subnet",
    "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.0.1.0/24"},
}
GROUP: dict[str, Any] = {
    "Type": "AWS::EC2::SecurityGroup",
    "Properties": {"GroupDescription": "group", "VpcId": {"Ref": "Vpc"}},
}
ENDPOINT: dict[str, Any] = {
    "Type": "AWS::EC2::VPCEndpoint",
    "Properties": {
        "VpcId": {"Ref": "Vpc"},
        "VpcEndpointType": "Interface",
        "ServiceName": {"Fn::Sub": "com.amazonaws.${AWS::Region}.ssm"},
        "SubnetIds": [{"Ref": "Subnet"}],
        "SecurityGroupIds": [{"Ref": "Group"}],
        "PrivateDnsEnabled": True,
        "PolicyDocument": {"Version": "2012-10-17", "Statement": []},
        "Tags": [{"Key": "who", "Value": "me"}],
    },
}
NETWORK: dict[str, Any] = {"Vpc": VPC, "Subnet": SUBNET, "Group": GROUP, "Endpoint": ENDPOINT}
HTTPS = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
TABLE = {"Type": "AWS::EC2::RouteTable", "Properties": {"VpcId": {"Ref": "Vpc"}}}
ROUTING = {
    "Type": "AWS::EC2::SubnetRouteTableAssociation",
    "Properties": {"RouteTableId": {"Ref": "Table"}, "SubnetId": {"Ref": "Subnet"}},
}


def _changed(resource: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {**resource, "Properties": {**resource["Properties"], **properties}}


def _left(account: Any) -> list[Any]:
    ec2 = account.ec2
    default = next(vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"] if vpc["IsDefault"])
    listings = (
        ec2.describe_vpcs()["Vpcs"],
        ec2.describe_subnets()["Subnets"],
        ec2.describe_security_groups()["SecurityGroups"],
        ec2.describe_route_tables()["RouteTables"],
        ec2.describe_vpc_endpoints()["VpcEndpoints"],
        ec2.describe_network_interfaces()["NetworkInterfaces"],
    )
    return [each for listing in listings for each in listing if each["VpcId"] != default]


def test_an_endpoint_and_its_interfaces_go_with_the_stack(account: Any) -> None:
    stack_id = account.create("s", NETWORK)
    (endpoint,) = account.ec2.describe_vpc_endpoints()["VpcEndpoints"]
    (interface,) = account.ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert endpoint["VpcEndpointId"] == account.physical_id("s", "Endpoint")
    assert json.loads(endpoint["PolicyDocument"])["Statement"] == []
    assert endpoint["NetworkInterfaceIds"] == [interface["NetworkInterfaceId"]]
    assert [group["GroupId"] for group in interface["Groups"]] == [account.physical_id("s", "Group")]
    assert {"Key": "who", "Value": "me"} in endpoint["Tags"]
    account.cloudformation.delete_stack(StackName="s")
    assert account.status(stack_id) == "DELETE_COMPLETE"
    assert _left(account) == []


def test_a_gateway_endpoint_and_its_routes_go_with_the_stack(account: Any) -> None:
    gateway = {
        "Type": "AWS::EC2::VPCEndpoint",
        "Properties": {
            "VpcId": {"Ref": "Vpc"},
            "ServiceName": {"Fn::Sub": "com.amazonaws.${AWS::Region}.s3"},
            "RouteTableIds": [{"Ref": "Table"}],
        },
    }
    account.create(
        "s", {"Vpc": VPC, "Subnet": SUBNET, "Table": TABLE, "Routing": ROUTING, "Gateway": gateway}
    )
    (endpoint,) = account.ec2.describe_vpc_endpoints()["VpcEndpoints"]
    assert (endpoint["VpcEndpointType"], endpoint["RouteTableIds"]) == (
        "Gateway",
        [account.physical_id("s", "Table")],
    )
    table = account.ec2.describe_route_tables(RouteTableIds=endpoint["RouteTableIds"])["RouteTables"][0]
    assert [each["SubnetId"] for each in table["Associations"]] == [account.physical_id("s", "Subnet")]
    account.cloudformation.delete_stack(StackName="s")
    assert _left(account) == []


def test_a_vpc_has_the_dns_attributes_of_its_template(account: Any) -> None:
    account.create("s", {"Vpc": VPC})
    told = account.ec2.describe_vpc_attribute(
        VpcId=account.physical_id("s", "Vpc"), Attribute="enableDnsHostnames"
    )
    assert told["EnableDnsHostnames"] == {"Value": True}


def test_declared_egress_replaces_the_rule_that_allows_all(account: Any) -> None:
    to_list = {**HTTPS, "DestinationPrefixListId": "pl-68a54001"}
    narrow = _changed(GROUP, SecurityGroupEgress=[to_list])
    account.create("s", {"Vpc": VPC, "Open": GROUP, "Narrow": narrow})
    (permission,) = _egress(account, "Narrow")
    assert [each["PrefixListId"] for each in permission["PrefixListIds"]] == ["pl-68a54001"]
    assert permission["IpRanges"] == []
    assert [each["CidrIp"] for each in _egress(account, "Open")[0]["IpRanges"]] == ["0.0.0.0/0"]


def test_rules_as_resources_come_and_go(account: Any) -> None:
    egress = {
        "Type": "AWS::EC2::SecurityGroupEgress",
        "Properties": {**HTTPS, "GroupId": {"Ref": "Group"}, "CidrIp": "10.0.0.0/8"},
    }
    ingress = {
        "Type": "AWS::EC2::SecurityGroupIngress",
        "Properties": {**HTTPS, "GroupId": {"Ref": "Group"}, "SourceSecurityGroupId": {"Ref": "Peer"}},
    }
    groups = {"Vpc": VPC, "Group": GROUP, "Peer": GROUP}
    account.create("s", {**groups, "Egress": egress, "Ingress": ingress})
    assert "10.0.0.0/8" in str(_egress(account, "Group"))
    assert account.physical_id("s", "Peer") in str(_group(account, "Group")["IpPermissions"])
    account.update("s", groups)
    assert "10.0.0.0/8" not in str(_egress(account, "Group"))
    assert _group(account, "Group")["IpPermissions"] == []


def _group(account: Any, logical_id: str) -> dict[str, Any]:
    group_id = account.physical_id("s", logical_id)
    told: list[dict[str, Any]] = account.ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
    return told[0]


def _egress(account: Any, logical_id: str) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = _group(account, logical_id)["IpPermissionsEgress"]
    return rules


def test_an_unknown_service_has_no_endpoint(account: Any) -> None:
    bogus = _changed(ENDPOINT, ServiceName="com.x.nothing")
    account.create("s", {**NETWORK, "Endpoint": bogus})
    assert account.status("s") == "ROLLBACK_COMPLETE"
    assert "'com.x.nothing' does not exist" in account.reason("s", "Endpoint", "CREATE_FAILED")
    assert _left(account) == []


def test_a_second_endpoint_cannot_take_the_private_name(account: Any) -> None:
    account.create("s", NETWORK)
    with pytest.raises(ClientError, match="conflicting DNS domain"):
        account.ec2.create_vpc_endpoint(
            VpcId=account.physical_id("s", "Vpc"),
            VpcEndpointType="Interface",
            ServiceName="com.amazonaws.us-west-2.ssm",
            PrivateDnsEnabled=True,
        )
    assert len(account.ec2.describe_vpc_endpoints()["VpcEndpoints"]) == 1


def test_private_names_need_dns_in_the_vpc(account: Any) -> None:
    account.create("s", {**NETWORK, "Vpc": _changed(VPC, EnableDnsHostnames=False)})
    assert "enableDnsHostnames" in account.reason("s", "Endpoint", "CREATE_FAILED")


def test_what_an_endpoint_uses_cannot_be_deleted(account: Any) -> None:
    account.create("s", NETWORK)
    for call, key, logical_id in (
        (account.ec2.delete_security_group, "GroupId", "Group"),
        (account.ec2.delete_subnet, "SubnetId", "Subnet"),
        (account.ec2.delete_vpc, "VpcId", "Vpc"),
    ):
        with pytest.raises(ClientError) as refused:
            call(**{key: account.physical_id("s", logical_id)})
        assert refused.value.response["Error"]["Code"] == "DependencyViolation"
    assert len(_left(account)) > 3


def test_a_group_that_another_groups_rule_names_cannot_be_deleted(account: Any) -> None:
    ingress = {
        "Type": "AWS::EC2::SecurityGroupIngress",
        "Properties": {**HTTPS, "GroupId": {"Ref": "Group"}, "SourceSecurityGroupId": {"Ref": "Peer"}},
    }
    account.create("s", {"Vpc": VPC, "Group": GROUP, "Peer": GROUP, "Ingress": ingress})
    with pytest.raises(ClientError, match="dependent object"):
        account.ec2.delete_security_group(GroupId=account.physical_id("s", "Peer"))


def test_a_network_with_a_foreign_interface_stays_and_says_so(account: Any) -> None:
    account.create("s", {"Vpc": VPC, "Subnet": SUBNET})
    foreign = account.ec2.create_network_interface(SubnetId=account.physical_id("s", "Subnet"))
    account.cloudformation.delete_stack(StackName="s")
    assert account.status("s") == "DELETE_FAILED"
    assert "[Subnet]" in account.stack("s")["StackStatusReason"]
    account.ec2.delete_network_interface(NetworkInterfaceId=foreign["NetworkInterface"]["NetworkInterfaceId"])
    account.cloudformation.delete_stack(StackName="s")
    assert _left(account) == []


@pytest.mark.parametrize(
    ("name", "values"), [("service-name", ["com.amazonaws.us-west-2.ssm"]), ("service-type", ["Gateway"])]
)
def test_endpoint_services_can_be_filtered(account: Any, name: str, values: list[str]) -> None:
    every = account.ec2.describe_vpc_endpoint_services()["ServiceDetails"]
    some = account.ec2.describe_vpc_endpoint_services(Filters=[{"Name": name, "Values": values}])
    names = [each["ServiceName"] for each in some["ServiceDetails"]]
    assert 0 < len(names) < len(every)
    if name == "service-name":
        assert names == values
