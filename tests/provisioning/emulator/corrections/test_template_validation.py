"""What cannot work is refused before anything is made."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

VPC = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}}
TRUST = {"Version": "2012-10-17", "Statement": []}
ROLE = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": TRUST}}


def _with(properties: dict[str, Any]) -> dict[str, Any]:
    return {"Vpc": VPC, "Other": {"Type": "AWS::EC2::VPC", "Properties": properties}}


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        (
            {"Vpc": VPC, "Other": {"Type": "AWS::EC2::Nothing"}},
            r"Unrecognized resource types: \[AWS::EC2::Nothing\]",
        ),
        (_with({"CidrBlock": "10.0.0.0/16", "Cidr": "x"}), r"extraneous key \[Cidr\] is not permitted"),
        (_with({"CidrBlock": {"Ref": "Missing"}}), r"Unresolved resource dependencies \[Missing\]"),
        (_with({"CidrBlock": {"Fn::Sub": "${Missing}"}}), r"Unresolved resource dependencies \[Missing\]"),
        (_with({"CidrBlock": {"Fn::GetAtt": ["Vpc", "Colour"]}}), "does not support attribute type Colour"),
        ({"Vpc": VPC, "Other": {"Type": "AWS::EC2::VPCEndpoint"}}, r"required key \[VpcId\] not found"),
        ({"A": {**VPC, "DependsOn": "B"}, "B": {**VPC, "DependsOn": "A"}}, r"Circular dependency .*\[A, B\]"),
        ({"Vpc": VPC, "Other": {"Properties": {}}}, "must contain a Type member"),
    ],
)
def test_a_template_that_cannot_work_makes_nothing(
    account: Any, resources: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientError, match=message) as refused:
        account.create("s", resources)
    assert refused.value.response["Error"]["Code"] == "ValidationError"
    assert account.vpc_ids() == set()
    assert account.cloudformation.describe_stacks()["Stacks"] == []


def test_nested_properties_are_checked_too(account: Any) -> None:
    properties = {"VersioningConfiguration": {"State": "Enabled"}}
    with pytest.raises(ClientError, match=r"#/VersioningConfiguration: extraneous key \[State\]"):
        account.create("s", {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": properties}})


def test_elastic_inference_is_still_a_property_of_an_instance(account: Any) -> None:
    accelerators = [{"Type": "eia2.medium", "Count": 1}]
    image = account.ssm.get_parameter(Name="/aws/service/ami-amazon-linux-latest/amzn2-ami-hvm-x86_64-gp2")[
        "Parameter"
    ]["Value"]
    host = {
        "Type": "AWS::EC2::Instance",
        "Properties": {
            "ImageId": image,
            "InstanceType": "m5.xlarge",
            "ElasticInferenceAccelerators": accelerators,
        },
    }
    account.create("s", {"Host": host})
    assert account.status("s") == "CREATE_COMPLETE"


@pytest.mark.parametrize(
    ("properties", "capability"), [({}, "CAPABILITY_IAM"), ({"RoleName": "r"}, "CAPABILITY_NAMED_IAM")]
)
def test_identities_need_a_capability(account: Any, properties: dict[str, str], capability: str) -> None:
    role = {"Type": "AWS::IAM::Role", "Properties": {**ROLE["Properties"], **properties}}  # type: ignore[dict-item]
    with pytest.raises(ClientError, match=capability) as refused:
        account.create("s", {"Role": role})
    assert refused.value.response["Error"]["Code"] == "InsufficientCapabilitiesException"
    account.create("s", {"Role": role}, Capabilities=[capability])
    assert account.status("s") == "CREATE_COMPLETE"


def test_a_template_over_the_limit_must_come_from_s3(account: Any) -> None:
    with pytest.raises(ClientError, match="51200"):
        account.create("s", {"Vpc": {**VPC, "Metadata": {"padding": "x" * 51_200}}})


@pytest.mark.parametrize("body", ["{", "just words", "[1]"])
def test_a_text_that_is_no_template_is_a_format_error(account: Any, body: str) -> None:
    with pytest.raises(ClientError, match="Template format error"):
        account.cloudformation.create_stack(StackName="s", TemplateBody=body)


def test_zones_are_those_of_the_stacks_region(account: Any) -> None:
    subnet = {
        "Type": "AWS::EC2::Subnet",
        "Properties": {
            "VpcId": {"Ref": "Vpc"},
            "CidrBlock": "10.0.0.0/24",
            "AvailabilityZone": {"Fn::Select": [1, {"Fn::GetAZs": ""}]},
        },
    }
    account.create("s", {"Vpc": VPC, "Subnet": subnet})
    told = account.ec2.describe_subnets(SubnetIds=[account.physical_id("s", "Subnet")])["Subnets"]
    assert told[0]["AvailabilityZone"] == "us-west-2b"
