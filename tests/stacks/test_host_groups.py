from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from stacks.synth import SynthesizedStack, synthesize
from tests.stacks.rules import violations
from tests.stacks.specs import described

if TYPE_CHECKING:
    from collections.abc import Mapping

    Deployments = Mapping[str, tuple[SynthesizedStack, ...]]


def only(stack: SynthesizedStack, kind: str) -> dict[str, Any]:
    resources = json.loads(stack.body)["Resources"].values()
    (found,) = [resource for resource in resources if resource["Type"] == kind]
    properties: dict[str, Any] = found["Properties"]
    return properties


@pytest.fixture(scope="module")
def group(deployments: Deployments) -> SynthesizedStack:
    (stack,) = deployments["group"]
    return stack


def of_size(count: int) -> SynthesizedStack:
    (stack,) = synthesize(described(targets=[{"accelerator": "c7i.xlarge", "count": count}]))
    return stack


def test_a_hundred_hosts_take_hardly_more_template_than_one() -> None:
    one, hundred = of_size(1), of_size(100)
    assert len(hundred.body) <= 1.10 * len(one.body)
    assert violations(hundred.body) == ()


def test_a_group_has_the_size_that_was_asked_for_in_both_zones(group: SynthesizedStack) -> None:
    made = only(group, "AWS::AutoScaling::AutoScalingGroup")
    assert [made[key] for key in ("MinSize", "MaxSize", "DesiredCapacity")] == ["3", "3", "3"]
    first, second = made["VPCZoneIdentifier"]
    assert first["Fn::If"][0] == "HostsInSecondZone"
    assert second["Fn::If"] == ["HostsInBothZones", first["Fn::If"][1], {"Ref": "AWS::NoValue"}]


def test_a_group_has_to_be_told_when_it_ends(group: SynthesizedStack) -> None:
    action = only(group, "AWS::AutoScaling::ScheduledAction")
    assert action["StartTime"] == {"Ref": "ExpiresAt"}
    assert [action[key] for key in ("MinSize", "MaxSize", "DesiredCapacity")] == [0, 0, 0]
    parameter = json.loads(group.body)["Parameters"]["ExpiresAt"]
    assert "Default" not in parameter
    assert parameter["AllowedPattern"] == r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z"


def test_what_a_group_launches_is_tagged_as_the_deployments_and_the_accelerators(
    group: SynthesizedStack,
) -> None:
    template = only(group, "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    launched = {each["ResourceType"]: each["Tags"] for each in template["TagSpecifications"]}
    assert set(launched) == {"volume", "network-interface"}
    assert {tag["Key"]: tag["Value"] for tag in launched["volume"]} == {
        "amazonei:deployment": "amazonei",
        "amazonei:expires-at": {"Ref": "ExpiresAt"},
        "amazonei:run": {"Ref": "RunId"},
    }
    of_instances = only(group, "AWS::AutoScaling::AutoScalingGroup")["Tags"]
    assert {tag["Key"] for tag in of_instances if tag["PropagateAtLaunch"]} == {
        "amazonei:accelerator",
        *("amazonei:deployment", "amazonei:expires-at", "amazonei:run"),
    }


def test_spot_hosts_end_when_they_are_taken_back(group: SynthesizedStack) -> None:
    assert only(group, "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]["InstanceMarketOptions"] == {
        "MarketType": "spot",
        "SpotOptions": {"InstanceInterruptionBehavior": "terminate", "SpotInstanceType": "one-time"},
    }


def test_one_host_of_a_capacity_reservation_is_a_group_of_one() -> None:
    reserved = {"accelerator": "c7i.xlarge", "capacity_reservation": "cr-0a1b2c3d4e5f60718"}
    (stack,) = synthesize(described(targets=[reserved]))
    data = only(stack, "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert data["CapacityReservationSpecification"] == {
        "CapacityReservationTarget": {"CapacityReservationId": "cr-0a1b2c3d4e5f60718"}
    }
    assert only(stack, "AWS::AutoScaling::AutoScalingGroup")["MaxSize"] == "1"


def test_a_graviton_group_boots_the_graviton_image(group: SynthesizedStack) -> None:
    image = next(parameter for parameter in group.parameters if parameter.name == "ImageId")
    assert image.default == "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"
