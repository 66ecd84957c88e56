from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.stacks.rules import TEMPLATE_BYTES, violations

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stacks.synth import SynthesizedStack

    Template = dict[str, Any]
    Defect = Callable[[Template], None]


def first(template: Template, kind: str) -> dict[str, Any]:
    resources: list[dict[str, Any]] = list(template["Resources"].values())
    return next(resource for resource in resources if resource["Type"] == kind)


def properties(template: Template, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = first(template, kind)["Properties"]
    return found


def add(template: Template, kind: str, **keys: object) -> None:
    template["Resources"]["Planted"] = {
        "Type": kind,
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": keys,
    }


def statement(template: Template) -> dict[str, Any]:
    policy = properties(template, "AWS::IAM::ManagedPolicy")
    found: dict[str, Any] = policy["PolicyDocument"]["Statement"][0]
    return found


def trust(template: Template) -> dict[str, Any]:
    role = properties(template, "AWS::IAM::Role")
    found: dict[str, Any] = role["AssumeRolePolicyDocument"]["Statement"][0]
    return found


def egress(template: Template) -> dict[str, Any]:
    found: dict[str, Any] = properties(template, "AWS::EC2::SecurityGroup")["SecurityGroupEgress"][0]
    return found


def disk(template: Template) -> dict[str, Any]:
    found: dict[str, Any] = properties(template, "AWS::EC2::Instance")["BlockDeviceMappings"][0]["Ebs"]
    return found


DEFECTS: list[tuple[str, Defect]] = [
    ("nothing-forbidden", lambda t: add(t, "AWS::EC2::NatGateway")),
    ("nothing-forbidden", lambda t: add(t, "AWS::EC2::InternetGateway")),
    ("nothing-forbidden", lambda t: add(t, "AWS::EC2::EIP")),
    ("nothing-forbidden", lambda t: add(t, "AWS::Lambda::Function")),
    ("nothing-forbidden", lambda t: add(t, "Custom::S3AutoDeleteObjects")),
    ("nothing-forbidden", lambda t: t["Parameters"].update(BootstrapVersion={"Type": "String"})),
    ("nothing-retained", lambda t: first(t, "AWS::S3::Bucket").update(DeletionPolicy="Retain")),
    ("nothing-retained", lambda t: first(t, "AWS::EC2::VPC").pop("DeletionPolicy")),
    ("everything-tagged", lambda t: properties(t, "AWS::IAM::Role").pop("Tags")),
    ("everything-tagged", lambda t: properties(t, "AWS::EC2::Instance")["Tags"].pop()),
    (
        "ingress-from-groups-only",
        lambda t: add(
            t,
            "AWS::EC2::SecurityGroupIngress",
            IpProtocol="tcp",
            FromPort=443,
            ToPort=443,
            CidrIp="0.0.0.0/0",
        ),
    ),
    (
        "ingress-from-groups-only",
        lambda t: properties(t, "AWS::EC2::SecurityGroup").update(
            SecurityGroupIngress=[{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "0.0.0.0/0"}]
        ),
    ),
    ("egress-is-narrow", lambda t: properties(t, "AWS::EC2::SecurityGroup").pop("SecurityGroupEgress")),
    ("egress-is-narrow", lambda t: egress(t).update(IpProtocol="-1")),
    ("egress-is-narrow", lambda t: egress(t).update(CidrIp="0.0.0.0/0")),
    ("egress-is-narrow", lambda t: add(t, "AWS::EC2::SecurityGroupEgress", IpProtocol="-1")),
    ("actions-are-named", lambda t: statement(t).update(Action="s3:*")),
    ("actions-are-named", lambda t: statement(t).update(Action=["ssm:Get*"])),
    ("actions-are-named", lambda t: statement(t).update(NotAction="iam:CreateUser")),
    ("resources-are-named", lambda t: statement(t).update(Resource="*")),
    ("resources-are-named", lambda t: statement(t).update(Resource=["arn:aws:s3:::mine", "*"])),
    ("trust-names-its-source", lambda t: trust(t).update(Principal={"Service": "scheduler.amazonaws.com"})),
    (
        "ingress-from-groups-only",
        lambda t: add(
            t, "AWS::EC2::SecurityGroupIngress", IpProtocol="tcp", FromPort=22, ToPort=22, CidrIpv6="::/0"
        ),
    ),
    (
        "ingress-from-groups-only",
        lambda t: add(
            t, "AWS::EC2::SecurityGroupIngress", IpProtocol="tcp", FromPort=0, ToPort=22, CidrIp="10.0.0.0/8"
        ),
    ),
    ("hosts-are-private", lambda t: properties(t, "AWS::EC2::Instance").update(Monitoring=False)),
    ("endpoints-are-restricted", lambda t: properties(t, "AWS::EC2::VPCEndpoint").pop("PolicyDocument")),
    (
        "endpoints-are-restricted",
        lambda t: properties(t, "AWS::EC2::VPCEndpoint")["PolicyDocument"]["Statement"][0].pop("Condition"),
    ),
    ("hosts-are-private", lambda t: properties(t, "AWS::EC2::Subnet").update(MapPublicIpOnLaunch=True)),
    ("hosts-are-private", lambda t: properties(t, "AWS::EC2::Instance").pop("NetworkInterfaces")),
    ("hosts-are-private", lambda t: properties(t, "AWS::EC2::Instance").pop("MetadataOptions")),
    (
        "hosts-are-private",
        lambda t: properties(t, "AWS::EC2::Instance")["MetadataOptions"].update(HttpPutResponseHopLimit=3),
    ),
    (
        "hosts-are-private",
        lambda t: properties(t, "AWS::EC2::Instance").pop("InstanceInitiatedShutdownBehavior"),
    ),
    ("disks-are-encrypted-and-die", lambda t: disk(t).pop("Encrypted")),
    ("disks-are-encrypted-and-die", lambda t: disk(t).update(DeleteOnTermination=False)),
    ("disks-are-encrypted-and-die", lambda t: properties(t, "AWS::EC2::Instance").pop("BlockDeviceMappings")),
    (
        "user-data-fits",
        lambda t: properties(t, "AWS::EC2::Instance").update(UserData={"Fn::Base64": "#" * 16_384}),
    ),
    ("buckets-are-private", lambda t: properties(t, "AWS::S3::Bucket").pop("BucketEncryption")),
    ("buckets-are-private", lambda t: properties(t, "AWS::S3::Bucket").pop("PublicAccessBlockConfiguration")),
    ("buckets-are-private", lambda t: properties(t, "AWS::S3::BucketPolicy").update(Bucket={"Ref": "Other"})),
    ("size", lambda t: t.update(Description="x" * TEMPLATE_BYTES)),
]


GROUP_DEFECTS: list[tuple[str, Defect]] = [
    ("groups-end", lambda t: properties(t, "AWS::AutoScaling::ScheduledAction").update(MaxSize=3)),
    ("groups-end", lambda t: t["Parameters"]["ExpiresAt"].update(Default="never")),
    (
        "groups-end",
        lambda t: properties(t, "AWS::AutoScaling::ScheduledAction").update(StartTime="2036-01-01T00:00:00Z"),
    ),
    (
        "everything-tagged",
        lambda t: properties(t, "AWS::AutoScaling::AutoScalingGroup")["Tags"][0].update(
            PropagateAtLaunch=False
        ),
    ),
    ("everything-tagged", lambda t: launch(t)["TagSpecifications"].pop()),
    ("everything-tagged", lambda t: properties(t, "AWS::EC2::LaunchTemplate").pop("TagSpecifications")),
    ("hosts-are-private", lambda t: launch(t)["MetadataOptions"].update(HttpTokens="optional")),
    ("hosts-are-private", lambda t: launch(t)["NetworkInterfaces"][0].pop("AssociatePublicIpAddress")),
    ("hosts-are-private", lambda t: launch(t).update(Monitoring={"Enabled": False})),
    (
        "disks-are-encrypted-and-die",
        lambda t: launch(t)["BlockDeviceMappings"][0]["Ebs"].update(Encrypted=False),
    ),
    ("user-data-fits", lambda t: launch(t).update(UserData={"Fn::Base64": "#" * 16_384})),
]


BALANCER = "AWS::ElasticLoadBalancingV2::LoadBalancer"
LISTENER = "AWS::ElasticLoadBalancingV2::Listener"
TARGETS = "AWS::ElasticLoadBalancingV2::TargetGroup"
BALANCED_DEFECTS: list[tuple[str, Defect]] = [
    ("balancers-are-internal", lambda t: properties(t, BALANCER).update(Scheme="internet-facing")),
    ("balancers-are-internal", lambda t: properties(t, BALANCER).pop("SecurityGroups")),
    ("balancers-are-internal", lambda t: properties(t, LISTENER).update(Protocol="HTTP")),
    (
        "balancers-are-internal",
        lambda t: properties(t, LISTENER).update(SslPolicy="ELBSecurityPolicy-TLS-1-0-2015-04"),
    ),
    ("balancers-are-internal", lambda t: properties(t, TARGETS).update(HealthCheckPort="traffic-port")),
    ("balancers-are-internal", lambda t: properties(t, TARGETS).update(HealthCheckEnabled=False)),
    ("ingress-from-groups-only", lambda t: entering(t, 443).update(CidrIp="0.0.0.0/0")),
    ("ingress-from-groups-only", lambda t: entering(t, 443).update(FromPort=80)),
    ("ingress-from-groups-only", lambda t: entering(t, 443).update(GroupId={"Ref": "Elsewhere"})),
    ("ingress-from-groups-only", lambda t: entering(t, 8000).update(ToPort=8001)),
    (
        "ingress-from-groups-only",
        lambda t: entering(t, 8000).update(SourceSecurityGroupId={"Ref": "Elsewhere"}),
    ),
    ("groups-end", lambda t: properties(t, "AWS::AutoScaling::ScheduledAction").update(MinSize=2)),
    ("everything-tagged", lambda t: properties(t, TARGETS).pop("Tags")),
    ("nothing-retained", lambda t: first(t, BALANCER).update(DeletionPolicy="Retain")),
]


def entering(template: Template, port: int) -> dict[str, Any]:
    """Return the rule that lets somebody into the balancer, or the balancer into its hosts."""
    rules = (
        resource["Properties"]
        for name, resource in template["Resources"].items()
        if name.startswith("Front") and resource["Type"] == "AWS::EC2::SecurityGroupIngress"
    )
    return next(rule for rule in rules if rule["FromPort"] == port)


@pytest.mark.parametrize(
    ("rule", "plant"), BALANCED_DEFECTS, ids=[f"{n}-{rule}" for n, (rule, _) in enumerate(BALANCED_DEFECTS)]
)
def test_a_defect_planted_in_a_balanced_group_is_caught_by_its_rule(
    deployments: Mapping[str, tuple[SynthesizedStack, ...]], rule: str, plant: Defect
) -> None:
    (stack,) = deployments["balanced"]
    template: Template = json.loads(stack.body)
    before = {violation.rule for violation in violations(json.dumps(template))}
    plant(template)
    assert rule in {violation.rule for violation in violations(json.dumps(template))} - before


def launch(template: Template) -> dict[str, Any]:
    found: dict[str, Any] = properties(template, "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    return found


@pytest.mark.parametrize(
    ("rule", "plant"), GROUP_DEFECTS, ids=[f"{n}-{rule}" for n, (rule, _) in enumerate(GROUP_DEFECTS)]
)
def test_a_defect_planted_in_a_group_is_caught_by_its_rule(
    deployments: Mapping[str, tuple[SynthesizedStack, ...]], rule: str, plant: Defect
) -> None:
    (stack,) = deployments["group"]
    template: Template = json.loads(stack.body)
    plant(template)
    assert rule in {violation.rule for violation in violations(json.dumps(template))}


@pytest.mark.parametrize(
    ("rule", "plant"), DEFECTS, ids=[f"{n}-{rule}" for n, (rule, _) in enumerate(DEFECTS)]
)
def test_a_planted_defect_is_caught_by_its_rule(
    deployments: Mapping[str, tuple[SynthesizedStack, ...]], rule: str, plant: Defect
) -> None:
    (stack,) = deployments["cpu"]
    template: Template = json.loads(stack.body)
    plant(template)
    assert rule in {violation.rule for violation in violations(json.dumps(template))}
