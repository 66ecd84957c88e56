"""Load balancers of a template, made and refused as AWS makes and refuses them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest

from tests.provisioning.emulator.certificates import import_certificate
from tests.provisioning.emulator.corrections.conftest import REGION

if TYPE_CHECKING:
    from tests.provisioning.emulator.corrections.conftest import Account

ELB = "AWS::ElasticLoadBalancingV2::"


@pytest.fixture
def elb(account: Account) -> Any:
    return boto3.client("elbv2", region_name=REGION)


def resources(zones: str = "ab", **changes: Any) -> dict[str, Any]:
    subnets = {
        f"Subnet{number}": {
            "Type": "AWS::EC2::Subnet",
            "Properties": {
                "VpcId": {"Ref": "Vpc"},
                "CidrBlock": f"10.0.{number}.0/24",
                "AvailabilityZone": f"{REGION}{zone}",
            },
        }
        for number, zone in enumerate(zones)
    }
    attributes = changes.pop("attributes", {})
    listener = {
        "LoadBalancerArn": {"Ref": "Balancer"},
        "Port": 443,
        "Protocol": "HTTPS",
        "SslPolicy": "ELBSecurityPolicy-TLS13-1-2-Res-2021-06",
        "DefaultActions": [{"Type": "forward", "TargetGroupArn": {"Ref": "Targets"}}],
        **changes,
    }
    return {
        "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
        "Group": {
            "Type": "AWS::EC2::SecurityGroup",
            "Properties": {"GroupDescription": "x", "VpcId": {"Ref": "Vpc"}},
        },
        **subnets,
        "Balancer": {
            "Type": ELB + "LoadBalancer",
            "Properties": {
                "Scheme": "internal",
                "Subnets": [{"Ref": name} for name in subnets],
                "SecurityGroups": [{"Fn::GetAtt": ["Group", "GroupId"]}],
                "LoadBalancerAttributes": [{"Key": key, "Value": value} for key, value in attributes.items()],
                "Tags": [{"Key": "owner", "Value": "me"}],
            },
        },
        "Targets": {
            "Type": ELB + "TargetGroup",
            "Properties": {
                "VpcId": {"Ref": "Vpc"},
                "Protocol": "HTTP",
                "Port": 8000,
                "HealthCheckPort": "8001",
                "TargetGroupAttributes": [{"Key": "deregistration_delay.timeout_seconds", "Value": "30"}],
            },
        },
        "Listener": {"Type": ELB + "Listener", "Properties": listener},
    }


def with_certificate(**changes: Any) -> dict[str, Any]:
    own = import_certificate(boto3.client("acm", region_name=REGION))
    return resources(Certificates=[{"CertificateArn": own}], **changes)


def test_it_is_made_as_declared_keeps_its_network_and_goes_with_its_stack(account: Account, elb: Any) -> None:
    outputs = {
        name: {"Value": {"Fn::GetAtt": [resource, attribute]}}
        for name, resource, attribute in (
            ("Balancer", "Balancer", "LoadBalancerFullName"),
            ("Targets", "Targets", "TargetGroupFullName"),
        )
    }
    account.create("front", with_certificate(), Outputs=outputs)
    assert account.status("front") == "CREATE_COMPLETE"
    (balancer,) = elb.describe_load_balancers()["LoadBalancers"]
    (targets,) = elb.describe_target_groups()["TargetGroups"]
    assert balancer["Scheme"] == "internal"
    told = {each["OutputKey"]: each["OutputValue"] for each in account.stack("front")["Outputs"]}
    assert told["Balancer"] == balancer["LoadBalancerArn"].partition("loadbalancer/")[2]
    assert told["Targets"] == targets["TargetGroupArn"].rpartition(":")[2]
    (tagged,) = elb.describe_tags(ResourceArns=[balancer["LoadBalancerArn"]])["TagDescriptions"]
    assert {"Key": "owner", "Value": "me"} in tagged["Tags"]
    attributes = elb.describe_target_group_attributes(TargetGroupArn=targets["TargetGroupArn"])["Attributes"]
    assert {"Key": "deregistration_delay.timeout_seconds", "Value": "30"} in attributes

    group = account.physical_id("front", "Group")
    with pytest.raises(account.ec2.exceptions.ClientError, match="DependencyViolation"):
        account.ec2.delete_security_group(GroupId=group)
    account.cloudformation.delete_stack(StackName="front")
    assert (elb.describe_load_balancers()["LoadBalancers"], elb.describe_target_groups()["TargetGroups"]) == (
        [],
        [],
    )
    assert group not in {each["GroupId"] for each in account.ec2.describe_security_groups()["SecurityGroups"]}


@pytest.mark.parametrize(
    ("declared", "refused", "reason"),
    [
        (lambda: with_certificate(zones="a"), "Balancer", "At least two subnets in two different"),
        (lambda: with_certificate(zones="aa"), "Balancer", "multiple subnets in the same Availability Zone"),
        (resources, "Listener", "A certificate must be specified for HTTPS listeners"),
        (
            lambda: resources(Certificates=[{"CertificateArn": "arn:aws:acm:us-west-2:1:certificate/none"}]),
            "Listener",
            "certificate",
        ),
    ],
    ids=["one-subnet", "one-zone", "no-certificate", "unknown-certificate"],
)
def test_what_aws_refuses_is_rolled_back(
    account: Account, elb: Any, declared: Any, refused: str, reason: str
) -> None:
    account.create("front", declared())
    assert account.status("front") == "ROLLBACK_COMPLETE"
    assert reason in account.reason("front", refused, "CREATE_FAILED")
    assert elb.describe_load_balancers()["LoadBalancers"] == []


def test_a_protected_balancer_is_not_deleted(account: Account, elb: Any) -> None:
    account.create("front", with_certificate(attributes={"deletion_protection.enabled": "true"}))
    account.cloudformation.delete_stack(StackName="front")
    assert account.status("front") == "DELETE_FAILED"
    assert "deletion protection" in account.reason("front", "Balancer", "DELETE_FAILED")
    assert len(elb.describe_load_balancers()["LoadBalancers"]) == 1
