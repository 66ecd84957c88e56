"""The templates of a deployment, deployed as the command line does, and nothing is left of them."""

from __future__ import annotations

from typing import Any

import pytest

from artifacts.targets import find
from stacks.spec import DeploymentSpec, HostSpec
from stacks.synth import synthesize

REGION = "us-west-2"


def _host(accelerator: str) -> HostSpec:
    target = find(accelerator)
    return HostSpec(
        accelerator=accelerator,
        instance_type=target.instance_type or "m5.xlarge",
        image_parameter=target.image_parameter,
        interpreter=target.interpreter,
        elastic_inference=None if target.instance_type else accelerator,
    )


def _deploy(account: Any, name: str, template: bytes | str) -> None:
    cloudformation = account.cloudformation
    cloudformation.create_change_set(
        StackName=name,
        ChangeSetName="deploy",
        ChangeSetType="CREATE",
        TemplateBody=template.decode() if isinstance(template, bytes) else template,
        Capabilities=["CAPABILITY_IAM"],
    )
    cloudformation.execute_change_set(StackName=name, ChangeSetName="deploy")


def _everything(account: Any) -> set[str]:
    """Return the id of every resource the account holds, of each kind a deployment makes."""
    ec2, iam = account.ec2, account.iam
    running = [
        instance["InstanceId"]
        for reservation in ec2.describe_instances()["Reservations"]
        for instance in reservation["Instances"]
        if instance["State"]["Name"] != "terminated"
    ]
    documents = account.ssm.list_documents(Filters=[{"Key": "Owner", "Values": ["Self"]}])
    return {
        *running,
        *(each["VpcId"] for each in ec2.describe_vpcs()["Vpcs"]),
        *(each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]),
        *(each["GroupId"] for each in ec2.describe_security_groups()["SecurityGroups"]),
        *(each["RouteTableId"] for each in ec2.describe_route_tables()["RouteTables"]),
        *(each["VpcEndpointId"] for each in ec2.describe_vpc_endpoints()["VpcEndpoints"]),
        *(each["NetworkInterfaceId"] for each in ec2.describe_network_interfaces()["NetworkInterfaces"]),
        *(each["VolumeId"] for each in ec2.describe_volumes()["Volumes"]),
        *(each["RoleId"] for each in iam.list_roles()["Roles"]),
        *(each["InstanceProfileId"] for each in iam.list_instance_profiles()["InstanceProfiles"]),
        *(each["Name"] for each in documents["DocumentIdentifiers"]),
        *(each["StackId"] for each in account.cloudformation.describe_stacks()["Stacks"]),
        *account.bucket_names(),
    }


@pytest.mark.parametrize("accelerators", [["c7i.xlarge"], ["inf2.xlarge", "c7i.xlarge"], ["eia2.medium"]])
def test_a_deployment_comes_and_goes_without_a_trace(account: Any, accelerators: list[str]) -> None:
    stacks = synthesize(DeploymentSpec(name="bench", region=REGION, hosts=tuple(map(_host, accelerators))))
    before = _everything(account)
    for stack in stacks:
        _deploy(account, stack.name, stack.body)
    assert {account.status(stack.name) for stack in stacks} == {"CREATE_COMPLETE"}
    assert len(_everything(account) - before) > 15
    for stack in reversed(stacks):
        account.cloudformation.delete_stack(StackName=stack.name)
    assert _everything(account) == before


def test_a_deployed_host_is_private_and_tagged(account: Any) -> None:
    (stack,) = synthesize(DeploymentSpec(name="bench", region=REGION, hosts=(_host("c7i.xlarge"),)))
    _deploy(account, stack.name, stack.body)
    outputs = {each["OutputKey"]: each["OutputValue"] for each in account.stack("bench")["Outputs"]}
    (reservation,) = account.ec2.describe_instances(InstanceIds=[outputs["InstanceIds"]])["Reservations"]
    (host,) = reservation["Instances"]
    assert host["MetadataOptions"]["HttpTokens"] == "required"
    assert "PublicIpAddress" not in host
    assert host["VpcId"] == outputs["VpcId"]
    assert host["IamInstanceProfile"]["Arn"].split(":instance-profile")[1].startswith("/amazonei/bench/")
    tags = {tag["Key"]: tag["Value"] for tag in host["Tags"]}
    assert (tags["amazonei:deployment"], tags["amazonei:accelerator"]) == ("bench", "c7i.xlarge")
    groups = account.ec2.describe_security_groups(
        GroupIds=[each["GroupId"] for each in host["SecurityGroups"]]
    )
    assert "0.0.0.0/0" not in str(groups["SecurityGroups"])
