"""A balanced group: who may connect to whom, what the balancer asks hosts, and how the group grows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from artifacts.serve import rotation
from artifacts.serve.routes import REQUEST_TIMEOUT_MS
from stacks.boot import user_data
from stacks.synth import SynthesizedStack, synthesize
from tests.stacks.rules import violations
from tests.stacks.specs import BALANCED, CERTIFICATE, EXISTING, described

if TYPE_CHECKING:
    from collections.abc import Mapping

ELB = "AWS::ElasticLoadBalancingV2::"


@pytest.fixture(scope="module")
def template(deployments: Mapping[str, tuple[SynthesizedStack, ...]]) -> dict[str, Any]:
    (stack,) = deployments["balanced"]
    assert violations(stack.body) == ()
    found: dict[str, Any] = json.loads(stack.body)
    return found


def named(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {
        name: resource["Properties"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind
    }


def only(template: dict[str, Any], kind: str) -> dict[str, Any]:
    (found,) = named(template, kind).values()
    return found


def entering(template: dict[str, Any]) -> dict[tuple[str, int], str]:
    """Return who enters which group at which port: a group's name, or addresses."""
    rules = named(template, "AWS::EC2::SecurityGroupIngress").values()
    return {
        (rule["GroupId"]["Fn::GetAtt"][0][:11], rule["FromPort"]): rule.get("CidrIp")
        or rule["SourceSecurityGroupId"]["Fn::GetAtt"][0][:11]
        for rule in rules
    }


def test_clients_of_the_vpc_reach_the_balancer_and_only_the_balancer_reaches_its_hosts(
    template: dict[str, Any],
) -> None:
    assert entering(template) == {
        ("AccessEndpo", 443): "AccessHosts",
        ("FrontGroup3", 443): "10.83.0.0/16",
        ("FrontHostsD", rotation.DOOR_PORT): "FrontGroup3",
        ("FrontHostsD", rotation.HEALTH_PORT): "FrontGroup3",
    }


def test_hosts_are_in_the_deployments_group_and_in_the_balanced_one(template: dict[str, Any]) -> None:
    (face,) = only(template, "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]["NetworkInterfaces"]
    groups = [group["Fn::GetAtt"][0] for group in face["Groups"]]
    assert [name[:11] for name in groups] == ["AccessHosts", "FrontHostsD"]


def test_the_balancer_is_internal_in_two_subnets_and_may_be_deleted(template: dict[str, Any]) -> None:
    balancer = only(template, ELB + "LoadBalancer")
    assert balancer["Scheme"] == "internal"
    assert len({json.dumps(subnet) for subnet in balancer["Subnets"]}) == 2
    attributes = {each["Key"]: each["Value"] for each in balancer["LoadBalancerAttributes"]}
    assert attributes["deletion_protection.enabled"] == "false"
    assert attributes["routing.http.drop_invalid_header_fields.enabled"] == "true"
    # A balancer that gave up first would break off what the server still answers.
    assert int(attributes["idle_timeout.timeout_seconds"]) * 1000 > REQUEST_TIMEOUT_MS


def test_it_speaks_tls_with_the_users_certificate(template: dict[str, Any]) -> None:
    listener = only(template, ELB + "Listener")
    assert (listener["Port"], listener["Protocol"]) == (443, "HTTPS")
    assert listener["Certificates"] == [{"CertificateArn": CERTIFICATE}]


def test_it_asks_the_health_port_as_often_as_hosts_wait_for(template: dict[str, Any]) -> None:
    targets = only(template, ELB + "TargetGroup")
    asked = {key: value for key, value in targets.items() if key.startswith("HealthCheck")}
    assert asked == {
        "HealthCheckEnabled": True,
        "HealthCheckIntervalSeconds": rotation.INTERVAL_S,
        "HealthCheckPath": "/",
        "HealthCheckPort": str(rotation.HEALTH_PORT),
        "HealthCheckProtocol": "HTTP",
        "HealthCheckTimeoutSeconds": rotation.TIMEOUT_S,
    }
    assert targets["UnhealthyThresholdCount"] * rotation.INTERVAL_S + rotation.TIMEOUT_S < rotation.NOTICED_S
    attributes = {each["Key"]: each["Value"] for each in targets["TargetGroupAttributes"]}
    assert int(attributes["deregistration_delay.timeout_seconds"]) * 1000 == REQUEST_TIMEOUT_MS


def test_the_group_grows_with_requests_from_its_count_and_ends_all_the_same(template: dict[str, Any]) -> None:
    group = only(template, "AWS::AutoScaling::AutoScalingGroup")
    assert (group["MinSize"], group["MaxSize"], "DesiredCapacity" in group) == ("2", "6", False)
    assert group["HealthCheckType"] == "EC2"
    assert [each["Ref"][:12] for each in group["TargetGroupARNs"]] == ["FrontTargets"]
    policy = only(template, "AWS::AutoScaling::ScalingPolicy")["TargetTrackingConfiguration"]
    assert policy["TargetValue"] == 3000
    assert policy["PredefinedMetricSpecification"]["PredefinedMetricType"] == "ALBRequestCountPerTarget"
    action = only(template, "AWS::AutoScaling::ScheduledAction")
    assert [action[key] for key in ("MinSize", "MaxSize", "DesiredCapacity")] == [0, 0, 0]


def test_a_balanced_group_that_does_not_grow_keeps_its_size() -> None:
    row = {key: BALANCED[key] for key in ("accelerator", "count", "certificate")}
    network = EXISTING | {"subnet_ids": ["subnet-0b2c3d4e", "subnet-0b2c3d4f", "subnet-0b2c3d50"]}
    (stack,) = synthesize(described(targets=[row | {"clients": "fd00::/32"}], network=network))
    found: dict[str, Any] = json.loads(stack.body)
    assert violations(stack.body) == ()
    assert only(found, "AWS::AutoScaling::AutoScalingGroup")["DesiredCapacity"] == "2"
    assert named(found, "AWS::AutoScaling::ScalingPolicy") == {}
    assert only(found, ELB + "LoadBalancer")["Subnets"] == ["subnet-0b2c3d4e", "subnet-0b2c3d4f"]
    rules = named(found, "AWS::EC2::SecurityGroupIngress").values()
    assert [rule["CidrIpv6"] for rule in rules if "CidrIpv6" in rule] == ["fd00::/32"]


def test_the_stack_says_where_clients_connect(template: dict[str, Any]) -> None:
    url = template["Outputs"]["BalancerUrl"]["Value"]["Fn::Join"][1]
    assert url[0] == "https://"
    assert url[1]["Fn::GetAtt"][1] == "DNSName"


def test_only_hosts_behind_a_balancer_are_told_that_they_are() -> None:
    (balanced,) = described(targets=[BALANCED]).hosts
    (plain,) = described("c7i.xlarge").hosts
    told = [user_data(deployment="d", host=host, ttl_s=60) for host in (balanced, plain)]
    assert ["\nbalanced=1\n" in text for text in told] == [True, False]
