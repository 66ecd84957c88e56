from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from artifacts.targets import catalogue
from tests.provisioning.emulator.emulated import LINUX, Emulated, connect, eventually

if TYPE_CHECKING:
    from provisioning.emulator.state import Running

INSTANCE = {
    "Type": "AWS::EC2::Instance",
    "Properties": {
        "ImageId": {"Ref": "Image"},
        "InstanceType": "m5.xlarge",
        "UserData": {"Fn::Base64": "#!/bin/sh\n# amazonei host\necho from a template\n"},
        "ElasticInferenceAccelerators": [{"Type": "eia2.medium", "Count": 2}],
        "MetadataOptions": {"HttpTokens": "required"},
        "Tags": [{"Key": "kind", "Value": "templated"}],
    },
}
TEMPLATE = {
    "Parameters": {"Image": {"Type": "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>", "Default": LINUX}},
    "Resources": {"Host": INSTANCE},
    "Outputs": {"HostId": {"Value": {"Ref": "Host"}}},
}


def _one(aws: Emulated, instance_id: str) -> dict[str, Any]:
    found: dict[str, Any] = aws.ec2.describe_instances(InstanceIds=[instance_id])
    instance: dict[str, Any] = found["Reservations"][0]["Instances"][0]
    return instance


@pytest.mark.parametrize("region", ["us-west-2", "eu-central-1"])
def test_every_image_parameter_of_the_catalogue_names_an_image_of_its_architecture(
    running: Running, region: str
) -> None:
    aws = connect(running, region)
    for target in catalogue().values():
        image = aws.ec2.describe_images(ImageIds=[aws.image(target.image_parameter)])["Images"][0]
        assert (image["Architecture"], image["State"]) == (target.architecture, "available")


def test_public_parameters_are_read_by_name_and_not_listed(aws: Emulated) -> None:
    public = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    aws.ssm.put_parameter(Name="own", Value="x", Type="String")
    assert aws.ssm.get_parameter(Name=public)["Parameter"]["Value"].startswith("ami-")
    assert [each["Name"] for each in aws.ssm.describe_parameters()["Parameters"]] == ["own"]
    aws.ssm.delete_parameter(Name="own")


def test_a_template_launches_a_host_that_executes_and_its_stack_ends_it(aws: Emulated) -> None:
    aws.cloudformation.create_stack(StackName="host-stack", TemplateBody=json.dumps(TEMPLATE))
    stack = aws.cloudformation.describe_stacks(StackName="host-stack")["Stacks"][0]
    instance_id = stack["Outputs"][0]["OutputValue"]
    aws.await_online(instance_id)
    assert "from a template" in aws.ec2.get_console_output(InstanceId=instance_id)["Output"]
    instance = _one(aws, instance_id)
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    assert {"Key": "kind", "Value": "templated"} in instance["Tags"]
    attached = instance["ElasticInferenceAcceleratorAssociations"]
    assert len({each["ElasticInferenceAcceleratorArn"] for each in attached}) == 2
    aws.cloudformation.delete_stack(StackName="host-stack")
    eventually(lambda: _one(aws, instance_id)["State"]["Name"] == "terminated")
    assert aws.ping(instance_id) == ""


def test_accelerators_asked_for_at_launch_are_shown(aws: Emulated) -> None:
    instance_id = aws.launch(ElasticInferenceAccelerators=[{"Type": "eia1.large"}])
    attached = _one(aws, instance_id)["ElasticInferenceAcceleratorAssociations"]
    assert [each["ElasticInferenceAcceleratorAssociationState"] for each in attached] == ["attached"]
    aws.ec2.terminate_instances(InstanceIds=[instance_id])


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"InstanceType": "inf9.huge"}, "InvalidParameterValue"),
        ({"InstanceType": "trn2.48xlarge"}, "Unsupported"),
        ({"InstanceType": "trn1.2xlarge", "Placement": {"AvailabilityZone": "us-west-2a"}}, "Unsupported"),
        ({"InstanceType": "c7g.xlarge"}, "InvalidParameterValue"),
        ({"ImageId": "ami-0123456789abcdef0"}, "InvalidAMIID.NotFound"),
        ({"KeyName": "nobodys"}, "InvalidKeyPair.NotFound"),
        ({"ElasticInferenceAccelerators": [{"Type": "eia3.huge"}]}, "InvalidParameterValue"),
    ],
)
def test_what_ec2_refuses_to_launch_is_refused(aws: Emulated, options: dict[str, Any], code: str) -> None:
    with pytest.raises(ClientError) as refused:
        aws.launch(**options)
    assert refused.value.response["Error"]["Code"] == code


def test_a_type_is_refused_in_the_subnet_of_a_zone_without_it(aws: Emulated) -> None:
    filters = [{"Name": "availability-zone", "Values": ["us-west-2a"]}]
    subnet = aws.ec2.describe_subnets(Filters=filters)["Subnets"][0]["SubnetId"]
    with pytest.raises(ClientError, match="or choosing us-west-2b, us-west-2d"):
        aws.launch(InstanceType="trn1.2xlarge", SubnetId=subnet)
    instance_id = aws.launch(InstanceType="trn1.2xlarge")
    assert _one(aws, instance_id)["Placement"]["AvailabilityZone"] == "us-west-2b"
    aws.ec2.terminate_instances(InstanceIds=[instance_id])


@pytest.mark.parametrize("instance_type", ["inf1.xlarge", "inf2.xlarge", "trn1.2xlarge", "c7i.xlarge"])
def test_offerings_come_per_zone(aws: Emulated, instance_type: str) -> None:
    filters = [{"Name": "instance-type", "Values": [instance_type]}]
    found = aws.ec2.describe_instance_type_offerings(LocationType="availability-zone", Filters=filters)
    zones = {each["Location"] for each in found["InstanceTypeOfferings"]}
    everywhere = {f"us-west-2{letter}" for letter in "abcd"}
    assert zones == ({"us-west-2b", "us-west-2d"} if instance_type == "trn1.2xlarge" else everywhere)


def test_termination_protection_asked_for_at_launch_holds(aws: Emulated) -> None:
    instance_id = aws.launch(DisableApiTermination=True)
    with pytest.raises(ClientError, match="OperationNotPermitted"):
        aws.ec2.terminate_instances(InstanceIds=[instance_id])
    aws.ec2.modify_instance_attribute(InstanceId=instance_id, DisableApiTermination={"Value": False})
    aws.ec2.terminate_instances(InstanceIds=[instance_id])
    assert _one(aws, instance_id)["State"]["Name"] == "terminated"


def test_a_changed_document_of_a_template_becomes_its_new_default_version(aws: Emulated, host: str) -> None:
    def template(said: str) -> str:
        step = {"action": "aws:runShellScript", "name": "say", "inputs": {"runCommand": [f"echo {said}"]}}
        properties = {
            "Name": "templated-document",
            "Content": {"schemaVersion": "2.2", "mainSteps": [step]},
            "DocumentType": "Command",
            "UpdateMethod": "NewVersion",
        }
        return json.dumps({"Resources": {"D": {"Type": "AWS::SSM::Document", "Properties": properties}}})

    aws.cloudformation.create_stack(StackName="documents", TemplateBody=template("one"))
    assert aws.run(host, DocumentName="templated-document", Parameters={})["StandardOutputContent"] == "one\n"
    aws.cloudformation.update_stack(StackName="documents", TemplateBody=template("two"))
    assert aws.run(host, DocumentName="templated-document", Parameters={})["StandardOutputContent"] == "two\n"
    described = aws.ssm.describe_document(Name="templated-document")["Document"]
    assert (described["LatestVersion"], described["DefaultVersion"]) == ("2", "2")
    aws.cloudformation.delete_stack(StackName="documents")
