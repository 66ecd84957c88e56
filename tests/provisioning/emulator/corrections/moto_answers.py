"""What the moto of this process answers where AWS answers otherwise; run as a script, it asks plain moto."""

from __future__ import annotations

import base64
import json
import sys
import warnings
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
from botocore.exceptions import ClientError
from moto import mock_aws

if TYPE_CHECKING:
    from collections.abc import Callable

REGION = "us-west-2"
VPC = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}}
SUBNET = {"Type": "AWS::EC2::Subnet", "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.0.1.0/24"}}
BUCKET = {"Type": "AWS::S3::Bucket"}
GROUP = {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "g", "VpcId": {"Ref": "Vpc"}}}


def _client(service: str) -> Any:
    client: Any = boto3.client
    return client(service, REGION)


def _attempt(call: Callable[..., Any], **arguments: Any) -> str:
    try:
        call(**arguments)
    except ClientError as refused:
        return str(refused.response["Error"]["Code"])
    except Exception as crash:  # noqa: BLE001 (a crash of moto is one of its answers)
        return type(crash).__name__
    return "accepted"


def _create(resources: dict[str, Any], **options: Any) -> tuple[str, str]:
    """Return a new stack's name, and whether it was accepted."""
    name = f"s{uuid4().hex}"
    body = json.dumps({"Resources": resources, **options.pop("sections", {})})
    return name, _attempt(
        _client("cloudformation").create_stack, StackName=name, TemplateBody=body, **options
    )


def _status(name: str) -> str:
    return str(_client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])


def _resource(name: str, logical_id: str) -> str:
    told = _client("cloudformation").describe_stack_resource(StackName=name, LogicalResourceId=logical_id)
    return str(told["StackResourceDetail"]["PhysicalResourceId"])


def failed_creation() -> str:
    bad = {"Type": SUBNET["Type"], "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "192.168.0.0/24"}}
    name, answer = _create({"Vpc": VPC, "Bad": bad})
    return f"{answer} {_status(name)}"


def non_empty_bucket() -> str:
    name, _ = _create({"Bucket": BUCKET})
    _client("s3").put_object(Bucket=_resource(name, "Bucket"), Key="k", Body=b"x")
    _client("cloudformation").delete_stack(StackName=name)
    return _attempt(_client("cloudformation").describe_stacks, StackName=name)


def protected_stack() -> str:
    name, _ = _create({"Vpc": VPC}, EnableTerminationProtection=True)
    return _attempt(_client("cloudformation").delete_stack, StackName=name)


def retained_except_on_create() -> str:
    name, _ = _create({"Bucket": {**BUCKET, "DeletionPolicy": "RetainExceptOnCreate"}})
    bucket = _resource(name, "Bucket")
    _client("cloudformation").delete_stack(StackName=name)
    return _attempt(_client("s3").head_bucket, Bucket=bucket)


def unknown_type() -> str:
    return _create({"Vpc": VPC, "Other": {"Type": "AWS::EC2::Nothing"}})[1]


def unknown_property() -> str:
    return _create({"Vpc": {**VPC, "Properties": {"CidrBlock": "10.0.0.0/16", "Colour": "red"}}})[1]


def missing_ssm_parameter() -> str:
    slot = {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/none"}
    return _create({"Vpc": VPC}, sections={"Parameters": {"P": slot}})[1]


def identity_without_capability() -> str:
    role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Statement": []}}}
    return _create({"Role": role})[1]


def change_set_of_one_name_on_two_stacks() -> str:
    cloudformation, names = _client("cloudformation"), (f"a{uuid4().hex}", f"b{uuid4().hex}")
    for name in names:
        body = json.dumps({"Resources": {"Bucket": BUCKET}})
        cloudformation.create_change_set(
            StackName=name, ChangeSetName="same", ChangeSetType="CREATE", TemplateBody=body
        )
    cloudformation.execute_change_set(StackName=names[0], ChangeSetName="same")
    return _status(names[0])


def zones_of_the_region() -> str:
    zoned = {"AvailabilityZone": {"Fn::Select": [0, {"Fn::GetAZs": ""}]}}
    subnet = {**SUBNET, "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.0.1.0/24", **zoned}}
    name, _ = _create({"Vpc": VPC, "Subnet": subnet})
    told = _client("ec2").describe_subnets(SubnetIds=[_resource(name, "Subnet")])["Subnets"]
    return str(told[0]["AvailabilityZone"])


def declared_egress() -> str:
    egress = [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIp": "10.0.0.0/8"}]
    properties = {"GroupDescription": "g", "VpcId": {"Ref": "Vpc"}, "SecurityGroupEgress": egress}
    name, _ = _create({"Vpc": VPC, "Group": {**GROUP, "Properties": properties}})
    told = _client("ec2").describe_security_groups(GroupIds=[_resource(name, "Group")])["SecurityGroups"][0]
    return str(told["IpPermissionsEgress"][0]["IpRanges"][0]["CidrIp"])


def bucket_versioning() -> str:
    properties = {"VersioningConfiguration": {"Status": "Enabled"}}
    name, _ = _create({"Bucket": {**BUCKET, "Properties": properties}})
    return str(_client("s3").get_bucket_versioning(Bucket=_resource(name, "Bucket")).get("Status"))


def network_dns() -> str:
    properties = {"CidrBlock": "10.0.0.0/16", "EnableDnsHostnames": True}
    name, _ = _create({"Vpc": {**VPC, "Properties": properties}})
    told = _client("ec2").describe_vpc_attribute(VpcId=_resource(name, "Vpc"), Attribute="enableDnsHostnames")
    return str(told["EnableDnsHostnames"]["Value"])


def deleted_endpoint() -> str:
    service = f"com.amazonaws.{REGION}.s3"
    endpoint = {
        "Type": "AWS::EC2::VPCEndpoint",
        "Properties": {"VpcId": {"Ref": "Vpc"}, "ServiceName": service, "RouteTableIds": []},
    }
    name, _ = _create({"Vpc": VPC, "Endpoint": {**endpoint, "DeletionPolicy": "Delete"}})
    endpoint_id = _resource(name, "Endpoint")
    _attempt(_client("cloudformation").delete_stack, StackName=name)
    return _attempt(_client("ec2").describe_vpc_endpoints, VpcEndpointIds=[endpoint_id])


def unknown_endpoint_service() -> str:
    name, _ = _create({"Vpc": VPC})
    vpc = _resource(name, "Vpc")
    return _attempt(_client("ec2").create_vpc_endpoint, VpcId=vpc, ServiceName="com.x.nothing")


def endpoint_twice_in_a_zone() -> str:
    name, _ = _create({"Vpc": VPC, "Subnet": SUBNET})
    subnet = _resource(name, "Subnet")
    ec2 = _client("ec2")
    zone = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["AvailabilityZone"]
    vpc = _resource(name, "Vpc")
    other = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.9.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
    made = ec2.create_vpc_endpoint(
        VpcId=vpc,
        ServiceName=f"com.amazonaws.{REGION}.ssm",
        VpcEndpointType="Interface",
        SubnetIds=[subnet],
        PrivateDnsEnabled=False,
    )
    endpoint = made["VpcEndpoint"]["VpcEndpointId"]
    return _attempt(ec2.modify_vpc_endpoint, VpcEndpointId=endpoint, AddSubnetIds=[other])


def group_in_use() -> str:
    name, _ = _create({"Vpc": VPC, "Subnet": SUBNET, "Group": GROUP})
    group = _resource(name, "Group")
    _client("ec2").create_network_interface(SubnetId=_resource(name, "Subnet"), Groups=[group])
    return _attempt(_client("ec2").delete_security_group, GroupId=group)


def subnet_in_use() -> str:
    name, _ = _create({"Vpc": VPC, "Subnet": SUBNET})
    subnet = _resource(name, "Subnet")
    _client("ec2").create_network_interface(SubnetId=subnet)
    return _attempt(_client("ec2").delete_subnet, SubnetId=subnet)


def endpoint_service_filter() -> str:
    filters = [{"Name": "service-name", "Values": [f"com.amazonaws.{REGION}.ssm"]}]
    return _attempt(_client("ec2").describe_vpc_endpoint_services, Filters=filters)


def wrong_digest() -> str:
    bucket = f"b{uuid4().hex}"
    _client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    digest = base64.b64encode(bytes(32)).decode()
    return _attempt(_client("s3").put_object, Bucket=bucket, Key="k", Body=b"x", ChecksumSHA256=digest)


def inf2_endpoint() -> str:
    variant = {
        "VariantName": "v",
        "ModelName": f"m{uuid4().hex}",
        "InitialInstanceCount": 1,
        "InstanceType": "ml.inf2.xlarge",
    }
    container = {"Image": "i"}
    _client("sagemaker").create_model(
        ModelName=variant["ModelName"], PrimaryContainer=container, ExecutionRoleArn="arn:aws:iam::1:role/r"
    )
    return _attempt(
        _client("sagemaker").create_endpoint_config,
        EndpointConfigName=f"c{uuid4().hex}",
        ProductionVariants=[variant],
    )


QUESTIONS: tuple[Callable[[], str], ...] = (
    failed_creation,
    non_empty_bucket,
    protected_stack,
    retained_except_on_create,
    unknown_type,
    unknown_property,
    missing_ssm_parameter,
    identity_without_capability,
    change_set_of_one_name_on_two_stacks,
    zones_of_the_region,
    declared_egress,
    bucket_versioning,
    network_dns,
    deleted_endpoint,
    unknown_endpoint_service,
    endpoint_twice_in_a_zone,
    group_in_use,
    subnet_in_use,
    endpoint_service_filter,
    wrong_digest,
    inf2_endpoint,
)

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with mock_aws():
        json.dump({question.__name__: question() for question in QUESTIONS}, sys.stdout)
