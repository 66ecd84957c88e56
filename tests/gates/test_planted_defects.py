"""Defects planted into a template that all gates accept, and the gate that sees each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.gates import packs
from tests.gates.catalogue import HOME, examples

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.gates.packs import Finding

    Template = dict[str, Any]
    Plant = Callable[[Template], None]

pytestmark = [pytest.mark.gates, pytest.mark.timeout(1800)]

WORLD = "0.0.0.0/0"
HOST, MODEL, FLEET, NOTEBOOK = "single", "sagemaker-endpoint-inf2-xlarge", "fleet", "sagemaker-notebook-plain"
RETIRED, BALANCED = "retired", "balanced"
BALANCER, LISTENER, TARGETS = (
    f"AWS::ElasticLoadBalancingV2::{kind}" for kind in ("LoadBalancer", "Listener", "TargetGroup")
)
GUARD = "single-guard"


def of(template: Template, kind: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [it for it in template["Resources"].values() if it["Type"] == kind]
    properties: dict[str, Any] = found[0]["Properties"]
    return properties


def add(template: Template, kind: str, **properties: object) -> None:
    kept = {"DeletionPolicy": "Delete", "UpdateReplacePolicy": "Delete"}
    template["Resources"]["Planted"] = {"Type": kind, **kept, "Properties": properties}


def launched(template: Template) -> dict[str, Any]:
    data: dict[str, Any] = of(template, "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    return data


def allowed(template: Template, **statement: object) -> None:
    policy = of(template, "AWS::IAM::ManagedPolicy")
    policy["PolicyDocument"]["Statement"].append({"Effect": "Allow", **statement})


def trust(template: Template) -> dict[str, Any]:
    statement: dict[str, Any] = of(template, "AWS::IAM::Role")["AssumeRolePolicyDocument"]["Statement"][0]
    return statement


def ssh(template: Template) -> None:
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": WORLD, "Description": "all"}
    of(template, "AWS::EC2::SecurityGroup")["SecurityGroupIngress"] = [rule]


def egress(template: Template) -> None:
    rule = {"IpProtocol": "-1", "CidrIp": WORLD, "Description": "all"}
    of(template, "AWS::EC2::SecurityGroup")["SecurityGroupEgress"] = [rule]


def secret(template: Template) -> None:
    key = "AKIA" + "IOSFODNN7" + "EXAMPLE"
    other = "wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "EXAMPLEKEY"
    words = f"export AWS_ACCESS_KEY_ID={key}\nexport AWS_SECRET_ACCESS_KEY={other}\n"
    of(template, "AWS::EC2::Instance")["UserData"] = {"Fn::Base64": words}


DEFECTS: list[tuple[str, str, str, Plant]] = [
    # (what is wrong, template, "pack rule" that sees it, how it is planted)
    (
        "IMDSv1 in a launch template",
        FLEET,
        "checkov CKV_AWS_79",
        lambda t: launched(t).pop("MetadataOptions"),
    ),
    (
        "IMDS over three hops",
        FLEET,
        "cfn-guard CT.EC2.PR.2",
        lambda t: launched(t)["MetadataOptions"].update(HttpPutResponseHopLimit=3),
    ),
    (
        "disk of a launch template not encrypted",
        FLEET,
        "cfn-guard CT.EC2.PR.14",
        lambda t: launched(t)["BlockDeviceMappings"][0]["Ebs"].pop("Encrypted"),
    ),
    (
        "no detailed monitoring",
        HOST,
        "cdk-nag AwsSolutions-EC28",
        lambda t: of(t, "AWS::EC2::Instance").pop("Monitoring"),
    ),
    (
        "IMDSv1 on a host",
        HOST,
        "cdk-nag NIST.800.53.R5-EC2IMDSv2Enabled",
        lambda t: of(t, "AWS::EC2::Instance").pop("MetadataOptions"),
    ),
    (
        "IMDS over two hops on a host",
        HOST,
        "own hosts-are-private",
        lambda t: of(t, "AWS::EC2::Instance")["MetadataOptions"].update(HttpPutResponseHopLimit=2),
    ),
    (
        "disk of a host not encrypted",
        HOST,
        "own disks-are-encrypted-and-die",
        lambda t: of(t, "AWS::EC2::Instance")["BlockDeviceMappings"][0]["Ebs"].pop("Encrypted"),
    ),
    (
        "disk outlives its host",
        HOST,
        "own disks-are-encrypted-and-die",
        lambda t: of(t, "AWS::EC2::Instance")["BlockDeviceMappings"][0]["Ebs"].update(
            DeleteOnTermination=False
        ),
    ),
    (
        "public address",
        HOST,
        "own hosts-are-private",
        lambda t: of(t, "AWS::EC2::Instance")["NetworkInterfaces"][0].update(AssociatePublicIpAddress=True),
    ),
    (
        "a host in no subnet",
        HOST,
        "cdk-nag NIST.800.53.R5-EC2InstancesInVPC",
        lambda t: of(t, "AWS::EC2::Instance")["NetworkInterfaces"][0].pop("SubnetId"),
    ),
    (
        "a policy inside of a role",
        HOST,
        "cdk-nag HIPAA.Security-IAMNoInlinePolicy",
        lambda t: of(t, "AWS::IAM::Role").update(
            Policies=[
                {"PolicyName": "a", "PolicyDocument": of(t, "AWS::IAM::ManagedPolicy")["PolicyDocument"]}
            ]
        ),
    ),
    (
        "an Elastic Inference accelerator that never was",
        RETIRED,
        "cfn-lint E3030",
        lambda t: of(t, "AWS::EC2::Instance")["ElasticInferenceAccelerators"][0].update(Type="eia9.medium"),
    ),
    (
        "an action that Elastic Inference never had",
        RETIRED,
        "cfn-lint W3037",
        lambda t: allowed(t, Action="elastic-inference:Conect", Resource="a"),
    ),
    (
        "letters that nobody keeps",
        GUARD,
        "cfn-guard CT.SQS.PR.1",
        lambda t: queue_with_redrive(t).pop("RedrivePolicy"),
    ),
    ("SSH from the world", HOST, "checkov CKV_AWS_24", ssh),
    ("egress to everywhere", HOST, "own egress-is-narrow", egress),
    ("secret in user data", HOST, "checkov CKV_AWS_46", secret),
    (
        "a role may be passed to anybody",
        GUARD,
        "own pass-role-is-narrow",
        lambda t: of_scheduler(t).update(Resource="*"),
    ),
    (
        "a role may be passed to any service",
        GUARD,
        "own pass-role-is-narrow",
        lambda t: of_scheduler(t).pop("Condition"),
    ),
    (
        "all actions of a service",
        HOST,
        "own actions-are-named",
        lambda t: allowed(t, Action="s3:*", Resource="a"),
    ),
    (
        "every resource where one could be named",
        HOST,
        "own resources-are-named",
        lambda t: allowed(t, Action="s3:GetObject", Resource="*"),
    ),
    (
        "an administrator",
        HOST,
        "checkov CKV_AWS_107",
        lambda t: allowed(t, Action=["iam:CreateAccessKey", "iam:UpdateLoginProfile"], Resource="*"),
    ),
    (
        "an action that does not exist",
        HOST,
        "cfn-lint W3037",
        lambda t: allowed(t, Action="s3:GetObjekt", Resource="a"),
    ),
    (
        "service trust without a source",
        MODEL,
        "own trust-names-its-source",
        lambda t: trust(t).pop("Condition"),
    ),
    (
        "endpoint without a policy",
        HOST,
        "own endpoints-are-restricted",
        lambda t: of(t, "AWS::EC2::VPCEndpoint").pop("PolicyDocument"),
    ),
    (
        "bucket not encrypted with KMS",
        HOST,
        "cfn-guard CT.S3.PR.10",
        lambda t: of(t, "AWS::S3::Bucket").pop("BucketEncryption"),
    ),
    (
        "bucket can be public",
        HOST,
        "cfn-guard CT.S3.PR.1",
        lambda t: of(t, "AWS::S3::Bucket").pop("PublicAccessBlockConfiguration"),
    ),
    (
        "bucket keeps no versions",
        HOST,
        "checkov CKV_AWS_21",
        lambda t: of(t, "AWS::S3::Bucket").pop("VersioningConfiguration"),
    ),
    (
        "bucket answers without TLS",
        HOST,
        "cdk-nag AwsSolutions-S10",
        lambda t: drop(t, "AWS::S3::BucketPolicy"),
    ),
    ("bucket outlives its stack", HOST, "own nothing-retained", lambda t: retain(t, "AWS::S3::Bucket")),
    (
        "model container may call out",
        MODEL,
        "checkov CKV_AWS_370",
        lambda t: of(t, "AWS::SageMaker::Model").pop("EnableNetworkIsolation"),
    ),
    (
        "model outside of our network",
        MODEL,
        "own models-are-isolated",
        lambda t: of(t, "AWS::SageMaker::Model").pop("VpcConfig"),
    ),
    (
        "endpoint volume without a key",
        MODEL,
        "cdk-nag NIST.800.53.R5-SageMakerEndpointConfigurationKMSKeyConfigured",
        lambda t: of(t, "AWS::SageMaker::EndpointConfig").pop("KmsKeyId"),
    ),
    (
        "requests captured",
        MODEL,
        "own endpoints-keep-to-themselves",
        lambda t: of(t, "AWS::SageMaker::EndpointConfig").update(
            DataCaptureConfig={
                "EnableCapture": True,
                "InitialSamplingPercentage": 1,
                "DestinationS3Uri": "s3://a/b",
                "CaptureOptions": [{"CaptureMode": "Input"}],
            }
        ),
    ),
    (
        "key that never changes",
        MODEL,
        "cdk-nag AwsSolutions-KMS5",
        lambda t: of(t, "AWS::KMS::Key").pop("EnableKeyRotation"),
    ),
    (
        "logs without a key",
        MODEL,
        "cdk-nag NIST.800.53.R5-CloudWatchLogGroupEncrypted",
        lambda t: of(t, "AWS::Logs::LogGroup").pop("KmsKeyId"),
    ),
    (
        "notebook with the internet",
        NOTEBOOK,
        "cfn-guard CT.SAGEMAKER.PR.1",
        lambda t: of(t, "AWS::SageMaker::NotebookInstance").update(DirectInternetAccess="Enabled"),
    ),
    (
        "notebook with root",
        NOTEBOOK,
        "own notebooks-are-private",
        lambda t: of(t, "AWS::SageMaker::NotebookInstance").update(RootAccess="Enabled"),
    ),
    ("no tags", HOST, "own everything-tagged", lambda t: of(t, "AWS::EC2::VPC").pop("Tags")),
    (
        "a NAT gateway",
        HOST,
        "own nothing-forbidden",
        lambda t: add(t, "AWS::EC2::NatGateway", SubnetId="subnet-0a1b2c3d"),
    ),
    (
        "a custom resource",
        HOST,
        "own nothing-forbidden",
        lambda t: add(t, "Custom::EmptyBucket", ServiceToken="a"),
    ),
    (
        "a type that no region has",
        HOST,
        "cfn-lint E3628",
        lambda t: of(t, "AWS::EC2::Instance").update(InstanceType="c7i.tiny"),
    ),
    (
        "a property that is not one",
        HOST,
        "cfn-lint E3002",
        lambda t: of(t, "AWS::EC2::VPC").update(Private=True),
    ),
    (
        "a reference to nothing",
        HOST,
        "cfn-lint E1020",
        lambda t: of(t, "AWS::EC2::VPC").update(CidrBlock={"Ref": "Nothing"}),
    ),
    (
        "a deletion that may fail unseen",
        GUARD,
        "own schedules-cannot-get-lost",
        lambda t: of(t, "AWS::Scheduler::Schedule")["Target"].pop("DeadLetterConfig"),
    ),
    ("letters without TLS", GUARD, "cdk-nag AwsSolutions-SQS4", lambda t: drop(t, "AWS::SQS::QueuePolicy")),
    (
        "letters not encrypted",
        GUARD,
        "checkov CKV_AWS_27",
        lambda t: of(t, "AWS::SQS::Queue").pop("KmsMasterKeyId"),
    ),
    (
        "a load balancer on the internet",
        BALANCED,
        "own balancers-are-internal",
        lambda t: of(t, BALANCER).update(Scheme="internet-facing"),
    ),
    (
        "a load balancer that takes any header",
        BALANCED,
        "cfn-guard CT.ELASTICLOADBALANCING.PR.4",
        lambda t: of(t, BALANCER)["LoadBalancerAttributes"].pop(),
    ),
    ("clients from everywhere", BALANCED, "own ingress-from-groups-only", lambda t: clients(t, WORLD)),
    (
        "a listener without TLS",
        BALANCED,
        "checkov CKV_AWS_2",
        lambda t: of(t, LISTENER).update(Protocol="HTTP", Port=80),
    ),
    (
        "a listener with TLS of yesterday",
        BALANCED,
        "checkov CKV_AWS_103",
        lambda t: of(t, LISTENER).update(SslPolicy="ELBSecurityPolicy-2016-08"),
    ),
    (
        "a listener without a certificate",
        BALANCED,
        "cdk-nag NIST.800.53.R5-ELBv2ACMCertificateRequired",
        lambda t: of(t, LISTENER).pop("Certificates"),
    ),
    (
        "a balancer that never asks whether hosts are well",
        BALANCED,
        "own balancers-are-internal",
        lambda t: of(t, TARGETS).pop("HealthCheckPort"),
    ),
    (
        "a balanced group without an end",
        BALANCED,
        "own groups-end",
        lambda t: of(t, "AWS::AutoScaling::ScheduledAction").update(MaxSize=6),
    ),
    ("a template too large", HOST, "own size", lambda t: t["Metadata"].update(x="x" * 51_200)),
]


def clients(template: Template, cidr: str) -> None:
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::EC2::SecurityGroupIngress" and "CidrIp" in resource["Properties"]:
            resource["Properties"]["CidrIp"] = cidr


def of_scheduler(template: Template) -> dict[str, Any]:
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::IAM::ManagedPolicy":
            for statement in resource["Properties"]["PolicyDocument"]["Statement"]:
                if statement["Action"] == "iam:PassRole":
                    found: dict[str, Any] = statement
                    return found
    raise LookupError("the template passes no role")


def inline(template: Template) -> dict[str, Any]:
    document = of(template, "AWS::IAM::ManagedPolicy")["PolicyDocument"]
    return {"PolicyName": "inline", "PolicyDocument": document}


def queue_with_redrive(template: Template) -> dict[str, Any]:
    for resource in template["Resources"].values():
        if "RedrivePolicy" in resource["Properties"]:
            found: dict[str, Any] = resource["Properties"]
            return found
    raise LookupError("no queue passes letters on")


def drop(template: Template, kind: str) -> None:
    for name in [name for name, it in template["Resources"].items() if it["Type"] == kind]:
        del template["Resources"][name]


def retain(template: Template, kind: str) -> None:
    for resource in template["Resources"].values():
        if resource["Type"] == kind:
            resource["DeletionPolicy"] = "Retain"


@pytest.fixture(scope="session")
def seen(tmp_path_factory: pytest.TempPathFactory) -> frozenset[Finding]:
    """Everything the packs have against all planted templates, and against them as they are, asked once."""
    directory = tmp_path_factory.mktemp("planted")
    bodies = {example.name: example.body for example in examples()}
    for number, (_, source, _, plant) in enumerate(DEFECTS):
        template = json.loads(bodies[source])
        template.setdefault("Metadata", {})
        plant(template)
        (directory / f"defect-{number}.json").write_text(json.dumps(template), encoding="utf-8")
    for source in {source for _, source, _, _ in DEFECTS}:
        (directory / f"{source}.json").write_text(bodies[source], encoding="utf-8")
    regions = {file.stem: (HOME,) for file in directory.glob("*.json")}
    asked = (packs.own_rules, packs.cdk_nag, packs.checkov, packs.cfn_guard)
    found = {finding for pack in asked for finding in pack(directory)}
    return frozenset(found | set(packs.cfn_lint(directory, regions)))


@pytest.mark.parametrize("number", range(len(DEFECTS)), ids=[what for what, *_ in DEFECTS])
def test_a_planted_defect_is_seen(number: int, seen: frozenset[Finding]) -> None:
    _, source, gate, _ = DEFECTS[number]
    caught = {f"{it.pack} {it.rule}" for it in seen if it.template == f"defect-{number}"}
    as_it_is = {f"{it.pack} {it.rule}" for it in seen if it.template == source}
    assert gate in caught - as_it_is


def test_there_are_at_least_thirty() -> None:
    assert len(DEFECTS) >= 30
