"""A changed endpoint is where it was moved, once in each zone, and has the name it was given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

REGION = "us-west-2"
SSM = f"com.amazonaws.{REGION}.ssm"


@dataclass(frozen=True)
class Moved:
    """An interface endpoint in one of three subnets: two of zone a, one of zone b."""

    ec2: Any
    vpc: str
    subnets: tuple[str, ...]
    endpoint: str

    def change(self, **changes: object) -> None:
        self.ec2.modify_vpc_endpoint(VpcEndpointId=self.endpoint, **changes)

    def looks(self) -> dict[str, Any]:
        (found,) = self.ec2.describe_vpc_endpoints(VpcEndpointIds=[self.endpoint])["VpcEndpoints"]
        answer: dict[str, Any] = found
        return answer

    def interfaces(self) -> set[str]:
        filters = [{"Name": "vpc-id", "Values": [self.vpc]}]
        found = self.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
        return {each["SubnetId"] for each in found}


@pytest.fixture
def moved(account: Any) -> Moved:
    ec2 = account.ec2
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = tuple(
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"{REGION}{zone}")[
            "Subnet"
        ]["SubnetId"]
        for number, zone in enumerate("aab")
    )
    made = ec2.create_vpc_endpoint(
        VpcId=vpc,
        ServiceName=SSM,
        VpcEndpointType="Interface",
        SubnetIds=[subnets[0]],
        PrivateDnsEnabled=False,
    )
    return Moved(ec2, vpc, subnets, made["VpcEndpoint"]["VpcEndpointId"])


def test_an_added_subnet_gets_an_interface_and_a_removed_one_loses_it(moved: Moved) -> None:
    first, _, other = moved.subnets
    moved.change(AddSubnetIds=[other])
    assert moved.interfaces() == {first, other}
    moved.change(RemoveSubnetIds=[first])
    assert moved.interfaces() == {other}
    assert moved.looks()["SubnetIds"] == [other]
    assert len(moved.looks()["NetworkInterfaceIds"]) == 1


def test_a_second_subnet_of_a_zone_is_refused(moved: Moved) -> None:
    with pytest.raises(ClientError, match="DuplicateSubnetsInSameZone"):
        moved.change(AddSubnetIds=[moved.subnets[1]])
    assert moved.interfaces() == {moved.subnets[0]}
    with pytest.raises(ClientError, match="DuplicateSubnetsInSameZone"):
        moved.ec2.create_vpc_endpoint(
            VpcId=moved.vpc,
            ServiceName=SSM,
            VpcEndpointType="Interface",
            SubnetIds=list(moved.subnets[:2]),
            PrivateDnsEnabled=False,
        )


def test_a_private_name_needs_the_networks_dns(moved: Moved) -> None:
    with pytest.raises(ClientError, match="enableDnsHostnames"):
        moved.change(PrivateDnsEnabled=True)
    assert moved.looks()["PrivateDnsEnabled"] is False
    moved.ec2.modify_vpc_attribute(VpcId=moved.vpc, EnableDnsHostnames={"Value": True})
    moved.change(PrivateDnsEnabled=True)
    assert moved.looks()["PrivateDnsEnabled"] is True
    moved.change(PrivateDnsEnabled=False)
    assert moved.looks()["PrivateDnsEnabled"] is False
