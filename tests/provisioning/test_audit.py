from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from provisioning.audit import audit
from provisioning.aws.connection import Aws
from provisioning.aws.logs import Logs
from provisioning.errors import AccessDenied, AwsUnreachable
from provisioning.finders import COVERED_TYPES, FINDERS
from stacks.synth import synthesize
from tests.stacks.specs import SPECS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REGION = "us-west-2"
IMAGE = "ami-12c6146b"  # one of moto's own


# One for all tests: it remembers the models of the services, and EC2's takes a second to read.
SESSION = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION)


@pytest.fixture
def session() -> Iterator[boto3.Session]:
    with mock_aws():
        yield SESSION


@pytest.fixture
def aws(session: boto3.Session) -> Aws:
    return Aws(session, REGION)


def tag_list(owner: str) -> list[dict[str, str]]:
    return [{"Key": "amazonei:deployment", "Value": owner}, {"Key": "Name", "Value": f"{owner}-thing"}]


def make_network(client: Callable[..., Any], owner: str) -> None:
    ec2 = client("ec2")
    tags = tag_list(owner)

    def tagged(kind: str) -> list[dict[str, object]]:
        return [{"ResourceType": kind, "Tags": tags}]

    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=tagged("vpc"))["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24", TagSpecifications=tagged("subnet"))
    subnet_id = subnet["Subnet"]["SubnetId"]
    ec2.create_route_table(VpcId=vpc, TagSpecifications=tagged("route-table"))
    ec2.create_security_group(
        GroupName=owner, Description="x", VpcId=vpc, TagSpecifications=tagged("security-group")
    )
    ec2.create_vpc_endpoint(
        VpcId=vpc,
        ServiceName=f"com.amazonaws.{REGION}.s3",
        VpcEndpointType="Gateway",
        TagSpecifications=tagged("vpc-endpoint"),
    )
    ec2.create_network_interface(SubnetId=subnet_id, TagSpecifications=tagged("network-interface"))
    repaired = [{"Key": f"amazonei:repair:{owner}", "Value": "dns-support"}]
    ec2.create_vpc(CidrBlock="10.1.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": repaired}])


def make_balancer(client: Callable[..., Any], owner: str) -> None:
    ec2, elb = client("ec2"), client("elbv2")
    vpc = ec2.create_vpc(CidrBlock="10.2.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.2.{number}.0/24", AvailabilityZone=f"{REGION}{zone}")
        for number, zone in enumerate("ab")
    ]
    elb.create_load_balancer(
        Name=owner, Subnets=[each["Subnet"]["SubnetId"] for each in subnets], Tags=tag_list(owner)
    )
    elb.create_target_group(Name=owner, Protocol="HTTP", Port=8000, VpcId=vpc, Tags=tag_list(owner))


def make_compute(client: Callable[..., Any], owner: str) -> None:
    ec2 = client("ec2")
    tags = tag_list(owner)

    def tagged(kind: str) -> list[dict[str, object]]:
        return [{"ResourceType": kind, "Tags": tags}]

    ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1, TagSpecifications=tagged("instance"))
    volume = ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=1, TagSpecifications=tagged("volume"))
    ec2.create_snapshot(VolumeId=volume["VolumeId"], TagSpecifications=tagged("snapshot"))
    ec2.create_launch_template(
        LaunchTemplateName=owner,
        LaunchTemplateData={"InstanceType": "m5.large"},
        TagSpecifications=tagged("launch-template"),
    )
    client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName=owner,
        LaunchTemplate={"LaunchTemplateName": owner},
        MinSize=0,
        MaxSize=0,
        AvailabilityZones=[f"{REGION}a"],
        Tags=[tag | {"PropagateAtLaunch": True} for tag in tags],
    )


def make_identity(client: Callable[..., Any], owner: str) -> None:
    iam, path = client("iam"), f"/amazonei/{owner}/"
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    allow_nothing = {"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow_nothing]})
    iam.create_role(RoleName=owner, Path=path, AssumeRolePolicyDocument=trust)
    iam.create_instance_profile(InstanceProfileName=owner, Path=path)
    iam.create_policy(PolicyName=owner, Path=path, PolicyDocument=policy)


def make_the_rest(client: Callable[..., Any], owner: str) -> None:
    tags = tag_list(owner)
    template = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})
    client("cloudformation").create_stack(StackName=owner, TemplateBody=template, Tags=tags)
    s3 = client("s3")
    s3.create_bucket(Bucket=f"{owner}-bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_tagging(Bucket=f"{owner}-bucket", Tagging={"TagSet": tags})
    content = json.dumps({"schemaVersion": "2.2", "description": "x", "mainSteps": []})
    client("ssm").create_document(Name=f"{owner}-doc", Content=content, DocumentType="Command", Tags=tags)
    client("ssm").put_parameter(Name=f"/amazonei/{owner}/p", Value="x", Type="String", Tags=tags)
    client("logs").create_log_group(logGroupName=f"/amazonei/{owner}/host")


def make_endpoint(client: Callable[..., Any], owner: str) -> None:
    sagemaker, tags = client("sagemaker"), tag_list(owner)
    role = "arn:aws:iam::123456789012:role/x"
    variant = {
        "VariantName": "v",
        "ModelName": owner,
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large",
    }
    sagemaker.create_model(ModelName=owner, ExecutionRoleArn=role, Tags=tags, PrimaryContainer={"Image": "i"})
    sagemaker.create_endpoint_config(EndpointConfigName=owner, ProductionVariants=[variant], Tags=tags)
    sagemaker.create_endpoint(EndpointName=owner, EndpointConfigName=owner, Tags=tags)


def make_guard(client: Callable[..., Any], owner: str) -> None:
    tags = [{"Key": "amazonei:deployment", "Value": owner}]
    client("scheduler").create_schedule_group(Name=f"{owner}-guard", Tags=tags)
    sqs = client("sqs")
    queue = sqs.create_queue(QueueName=f"{owner}-letters", tags={"amazonei:deployment": owner})["QueueUrl"]
    why = {"ERROR_MESSAGE": {"DataType": "String", "StringValue": "TerminationProtection is enabled"}}
    letter = f'{{"StackName": "{owner}-stuck", "RoleARN": "arn:any"}}'
    sqs.send_message(QueueUrl=queue, MessageBody=letter, MessageAttributes=why)
    kms = client("kms")
    kms_tags = [{"TagKey": "amazonei:deployment", "TagValue": owner}]
    kms.create_key(Tags=kms_tags)
    going = kms.create_key(Tags=kms_tags)["KeyMetadata"]["KeyId"]
    kms.schedule_key_deletion(KeyId=going, PendingWindowInDays=7)  # as good as gone
    limit = {"Amount": "5", "Unit": "USD"}
    budget = {"BudgetType": "COST", "TimeUnit": "MONTHLY", "BudgetLimit": limit}
    for name in (f"amazonei/{owner}/{REGION}", f"amazonei/{owner}/ap-south-1", f"somebody/{owner}/{REGION}"):
        client("budgets").create_budget(AccountId="123456789012", Budget={"BudgetName": name, **budget})
    client("sagemaker").create_notebook_instance(
        NotebookInstanceName=f"{owner}-notebook",
        InstanceType="ml.t3.medium",
        RoleArn="arn:aws:iam::123456789012:role/any",
        Tags=tags,
    )


def make_one_of_everything(session: boto3.Session, owner: str) -> None:
    client: Callable[..., Any] = session.client
    for make in (
        make_network,
        make_balancer,
        make_compute,
        make_identity,
        make_the_rest,
        make_endpoint,
        make_guard,
    ):
        make(client, owner)


def test_an_empty_account_has_nothing_left(aws: Aws) -> None:
    assert audit(aws, "demo") == ()
    assert audit(aws) == ()


def test_one_of_every_kind_is_found_with_the_command_that_removes_it(
    session: boto3.Session, aws: Aws
) -> None:
    make_one_of_everything(session, "demo")
    make_one_of_everything(session, "demo2")
    found = audit(aws, "demo")
    assert [leftover.kind for leftover in found] == [finder.kind for finder in FINDERS]
    assert {leftover.deployment for leftover in found} == {"demo"}
    by_kind = {leftover.kind: leftover for leftover in found}
    vpc = by_kind["VPC"]
    assert vpc.hint == f"aws ec2 delete-vpc --vpc-id {vpc.id} --region us-west-2"
    assert vpc.describe() == f"VPC {vpc.id} (demo-thing) of deployment demo in us-west-2"
    assert by_kind["policy"].hint == (
        "aws iam delete-policy --policy-arn arn:aws:iam::123456789012:policy/amazonei/demo/demo"
    )
    assert by_kind["bucket"].id == "demo-bucket"
    assert by_kind["log group"].id == "/amazonei/demo/host"


def test_without_a_name_every_deployment_is_found(session: boto3.Session, aws: Aws) -> None:
    make_one_of_everything(session, "demo")
    make_one_of_everything(session, "demo2")
    found = audit(aws)
    for finder in FINDERS:
        owners = sorted(item.deployment for item in found if item.kind == finder.kind)
        assert owners == ["demo", "demo2"], finder.kind


def test_a_terminated_host_is_not_left(session: boto3.Session, aws: Aws) -> None:
    make_compute(session.client, "demo")
    (host,) = aws.ec2.instances({"amazonei:deployment": "demo"})
    ec2: Any = session.client("ec2")
    ec2.terminate_instances(InstanceIds=[host.instance_id])
    assert "instance" not in {leftover.kind for leftover in audit(aws, "demo")}


def test_another_region_is_another_audit_but_iam_is_everywhere(session: boto3.Session) -> None:
    make_one_of_everything(session, "demo")
    elsewhere = Aws(session, "eu-west-1")
    found = audit(elsewhere, "demo")
    assert {leftover.kind for leftover in found} == {"role", "instance profile", "policy"}
    assert {leftover.region for leftover in found} == {"all regions"}
    assert audit(elsewhere, "demo", with_global=False) == ()


def test_a_role_that_serves_another_regions_deployment_of_the_same_name_is_not_left(
    session: boto3.Session, aws: Aws
) -> None:
    paths = {
        "any-region": "/amazonei/demo/",
        "this-region": "/amazonei/demo/us-west-2/",
        "other-region": "/amazonei/demo/eu-west-1/",
        "other-deployment": "/amazonei/demo2/us-west-2/",
        "not-ours": "/",
    }
    iam: Any = session.client("iam")
    for name, path in paths.items():
        iam.create_role(RoleName=name, Path=path, AssumeRolePolicyDocument="{}")
    assert {leftover.id for leftover in audit(aws, "demo")} == {"any-region", "this-region"}


class ClosedLogs(Logs):
    def __init__(self, error: Exception) -> None:
        self.error = error

    def log_groups(self, prefix: str) -> tuple[str, ...]:
        raise self.error


def test_what_may_not_be_looked_at_is_told(aws: Aws) -> None:
    refusal = AccessDenied("not authorized", operation="logs:DescribeLogGroups", aws_code="AccessDenied")
    aws.logs = ClosedLogs(refusal)
    (leftover,) = audit(aws, "demo")
    assert (leftover.looked, leftover.kind, leftover.hint) == (
        False,
        "log group",
        "Allow logs:DescribeLogGroups, then audit again.",
    )
    assert leftover.describe() == "could not look for a log group in us-west-2: not authorized"


def test_an_audit_without_an_answer_is_no_audit(aws: Aws) -> None:
    aws.logs = ClosedLogs(AwsUnreachable("no answer"))
    with pytest.raises(AwsUnreachable):
        audit(aws, "demo")


@pytest.mark.parametrize("spec", ["three", "existing-vpc", "balanced"])
def test_every_type_the_templates_create_is_audited(spec: str) -> None:
    for stack in synthesize(SPECS[spec]):
        types = {resource["Type"] for resource in json.loads(stack.body)["Resources"].values()}
        assert types
        assert types - COVERED_TYPES == set()
