"""A group of a template: what it launches, how it changes, and that it goes with its stack."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from provisioning.aws.autoscaling import AutoScaling
from provisioning.emulator.group_actions import GroupActions
from stacks.synth import synthesize
from tests.provisioning.emulator.emulated import eventually
from tests.stacks.specs import described

if TYPE_CHECKING:
    from stacks.synth import SynthesizedStack

REGION = "us-west-2"
PARAMETERS = {"ExpiresAt": "2036-01-01T00:00:00Z", "RunId": "run-1"}


@pytest.fixture(scope="module")
def template() -> SynthesizedStack:
    target = {"accelerator": "c7g.xlarge", "count": 3, "spot": True}
    (stack,) = synthesize(described(name="fleet", targets=[target]))
    return stack


@pytest.fixture
def scaling(account: Any) -> Any:
    made: Any = boto3.client
    return made("autoscaling", region_name=REGION)


def deploy(account: Any, body: str, **values: str) -> None:
    parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]
    create = account.cloudformation.create_stack
    if "fleet" in {each["StackName"] for each in account.cloudformation.describe_stacks()["Stacks"]}:
        create = account.cloudformation.update_stack
    create(StackName="fleet", TemplateBody=body, Parameters=parameters, Capabilities=["CAPABILITY_IAM"])


def hosts(account: Any) -> list[dict[str, Any]]:
    filters = [
        {"Name": "tag:amazonei:accelerator", "Values": ["c7g.xlarge"]},
        {"Name": "instance-state-name", "Values": ["running"]},
    ]
    reservations = account.ec2.describe_instances(Filters=filters)["Reservations"]
    return [instance for reservation in reservations for instance in reservation["Instances"]]


@pytest.fixture
def fleet(account: Any, template: SynthesizedStack) -> Any:
    deploy(account, template.body, **PARAMETERS)
    yield account.physical_id("fleet", "FleetGroupBCCC8A0C")
    account.cloudformation.delete_stack(StackName="fleet")


def test_a_group_launches_what_its_template_says_over_its_subnets(account: Any, fleet: str) -> None:
    made = hosts(account)
    assert len(made) == 3
    images = account.ec2.describe_images(ImageIds=sorted({host["ImageId"] for host in made}))["Images"]
    assert [(image["Architecture"], image["RootDeviceName"]) for image in images] == [("arm64", "/dev/xvda")]
    assert len({host["SubnetId"] for host in made}) == 2
    for host in made:
        assert host["MetadataOptions"]["HttpTokens"] == "required"
        assert "PublicIpAddress" not in host
        assert "/amazonei/fleet/us-west-2/" in host["IamInstanceProfile"]["Arn"]
        tags = {tag["Key"]: tag["Value"] for tag in host["Tags"]}
        assert (tags["amazonei:deployment"], tags["amazonei:run"]) == ("fleet", "run-1")
        assert tags["aws:autoscaling:groupName"] == fleet


def test_what_came_along_with_a_host_is_tagged_and_ends_with_it(account: Any, fleet: str) -> None:
    filters = [{"Name": "tag:amazonei:deployment", "Values": ["fleet"]}]
    volumes = account.ec2.describe_volumes(Filters=filters)["Volumes"]
    assert [(volume["Encrypted"], volume["Size"]) for volume in volumes] == [(True, 100)] * 3
    interfaces = account.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    assert len(interfaces) == 3
    account.cloudformation.delete_stack(StackName="fleet")
    assert account.ec2.describe_volumes(Filters=filters)["Volumes"] == []
    assert account.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"] == []


def test_a_group_is_told_when_to_end(account: Any, fleet: str, scaling: Any) -> None:
    (action,) = scaling.describe_scheduled_actions(AutoScalingGroupName=fleet)["ScheduledUpdateGroupActions"]
    assert action["StartTime"].isoformat() == "2036-01-01T00:00:00+00:00"
    assert [action[key] for key in ("MinSize", "MaxSize", "DesiredCapacity")] == [0, 0, 0]
    account.cloudformation.delete_stack(StackName="fleet")
    assert scaling.describe_scheduled_actions()["ScheduledUpdateGroupActions"] == []


def test_a_group_without_an_end_is_not_made(account: Any, template: SynthesizedStack) -> None:
    with pytest.raises(ClientError, match="ExpiresAt"):
        deploy(account, template.body, RunId="run-1")
    with pytest.raises(ClientError, match="ExpiresAt"):
        deploy(account, template.body, ExpiresAt="never")


def test_a_refresh_replaces_the_hosts_of_an_older_template_and_no_others(
    account: Any, fleet: str, template: SynthesizedStack, scaling: Any
) -> None:
    edge = AutoScaling(scaling)
    (group,) = edge.groups({"amazonei:accelerator": "c7g.xlarge"})
    assert (group.size, group.outdated) == (3, ())
    before = {host["InstanceId"] for host in hosts(account)}
    deploy(account, template.body, ExpiresAt="2036-01-01T00:00:00Z", RunId="run-2")
    (group,) = edge.groups({"amazonei:accelerator": "c7g.xlarge"})
    assert set(group.outdated) == before
    assert {host["InstanceId"] for host in hosts(account)} == before

    refresh = edge.start_refresh(fleet, 50, 600)
    eventually(lambda: edge.refresh(fleet, refresh).status == "Successful")
    assert edge.refresh(fleet, None).percent == 100
    after = {host["InstanceId"] for host in hosts(account)}
    assert (len(after), after & before) == (3, set())
    assert edge.groups({"amazonei:accelerator": "c7g.xlarge"})[0].outdated == ()
    again = edge.start_refresh(fleet, 50, 600)
    eventually(lambda: edge.refresh(fleet, again).status == "Successful")
    assert {host["InstanceId"] for host in hosts(account)} == after


def test_another_run_and_another_size_leave_the_running_hosts_alone(
    account: Any, fleet: str, template: SynthesizedStack
) -> None:
    before = {host["InstanceId"] for host in hosts(account)}
    larger = template.body.replace('"DesiredCapacity": "3"', '"DesiredCapacity": "5"')
    larger = larger.replace('"MaxSize": "3"', '"MaxSize": "5"')
    deploy(account, larger, ExpiresAt="2037-01-01T00:00:00Z", RunId="run-2")
    assert account.status("fleet") == "UPDATE_COMPLETE"
    after = hosts(account)
    assert len(after) == 5
    assert before < {host["InstanceId"] for host in after}


def test_a_group_ends_when_its_time_has_come_and_not_before(account: Any, fleet: str) -> None:
    actions = GroupActions()
    assert actions.carry_out(datetime(2035, 12, 31, tzinfo=UTC)) == ()
    assert len(hosts(account)) == 3
    assert fleet in actions.carry_out(datetime(2036, 1, 1, tzinfo=UTC))
    assert hosts(account) == []
    assert fleet not in actions.carry_out(datetime(2036, 1, 2, tzinfo=UTC))


def test_a_deleted_group_ends_its_hosts(account: Any, fleet: str, scaling: Any) -> None:
    account.cloudformation.delete_stack(StackName="fleet")
    assert hosts(account) == []
    assert scaling.describe_auto_scaling_groups()["AutoScalingGroups"] == []
    assert account.ec2.describe_launch_templates()["LaunchTemplates"] == []
