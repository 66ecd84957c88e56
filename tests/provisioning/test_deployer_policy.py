"""The deployer's policy names exactly the calls that are made: none is missing, none is unused."""

from __future__ import annotations

import ast
import dataclasses
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.loaders import Loader

import provisioning.aws
from provisioning.deployer_actions import (
    DIRECT,
    NOT_USED,
    ON_CERTIFICATES,
    SPELLED_OUT,
    WITH_ENDPOINTS,
    stack_actions,
)
from provisioning.deployer_policy import Place, deployer_policy, resource_types
from provisioning.registry import handler_permissions
from stacks.synth import synthesize
from tests.stacks.specs import CERTIFICATE, KEY, SPECS, described

REGION = "us-west-2"
PLACE = Place(account="123456789012", region=REGION)
EDGE = Path(provisioning.aws.__path__[0])
# IAM's name of a call where it is not the call's own:
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
IAM_NAMES = {
    "budgets:DescribeBudgets": ["budgets:ViewBudget"],
    "s3:DeleteObjects": ["s3:DeleteObject", "s3:DeleteObjectVersion"],
    "s3:HeadObject": ["s3:GetObject"],
    "s3:ListBuckets": ["s3:ListAllMyBuckets"],
    "s3:ListMultipartUploads": ["s3:ListBucketMultipartUploads"],
    "s3:ListObjectVersions": ["s3:ListBucketVersions"],
    "s3:ListObjectsV2": ["s3:ListBucket"],
    "s3:DownloadFile": ["s3:GetObject"],
    "s3:UploadFile": ["s3:AbortMultipartUpload", "s3:PutObject"],
    "sts:GetCallerIdentity": [],
}
# botocore's name of a service where the module's own name is not it.
SERVICES = {"sagemaker_runtime": "sagemaker-runtime", "service_quotas": "service-quotas"}
# IAM's name of a service where it is not botocore's.
PREFIXES = {"elbv2": "elasticloadbalancing", "service-quotas": "servicequotas"}
# CloudFormation calls it for us, to resolve the image parameter.
OF_PARAMETERS = "ssm:GetParameters"
# What `aws ssm start-session` starts calls it.
OF_THE_PLUGIN = "ssmmessages:OpenDataChannel"


def calls_of(module: Path) -> set[str]:
    """Return the botocore methods that a module of the edge calls on its client."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            client = node.func.value
            if isinstance(client, ast.Attribute) and client.attr == "_client":
                first = node.args[0] if node.func.attr == "get_paginator" else None
                found.add(str(first.value) if isinstance(first, ast.Constant) else node.func.attr)
    return found


def actions_of_the_edge() -> set[str]:
    loader, actions = Loader(), set()
    for module in sorted(EDGE.glob("*.py")):
        service = SERVICES.get(module.stem) or module.stem.partition("_")[0]
        if not (calls := calls_of(module)):
            continue
        operations = loader.load_service_model(service, "service-2")["operations"]
        names = {xform_name(name): name for name in operations} | {
            "upload_file": "UploadFile",
            "download_file": "DownloadFile",
        }
        for call in calls:
            operation = f"{PREFIXES.get(service) or service.partition('-')[0]}:{names[call]}"
            actions.update(IAM_NAMES.get(operation, [operation]))
    return actions


def policy_of(name: str, **changes: Any) -> tuple[Any, dict[str, Any]]:
    spec = dataclasses.replace(SPECS[name], **changes)
    return spec, deployer_policy(spec, synthesize(spec), PLACE)


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def granted(policy: dict[str, Any]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for statement in policy["Statement"]:
        for action in _listed(statement["Action"]):
            found.setdefault(action, set()).update(_listed(statement["Resource"]))
    return found


def test_the_tools_own_calls_are_exactly_those_of_the_edges_source() -> None:
    every = (*DIRECT.values(), *WITH_ENDPOINTS.values(), ON_CERTIFICATES)
    listed = [action for actions in every for action in actions]
    assert set(listed) - {OF_PARAMETERS, OF_THE_PLUGIN} == actions_of_the_edge()


@pytest.mark.parametrize("name", ["cpu", "group", "balanced", "strict-account"])
def test_the_policy_holds_the_tools_calls_and_what_the_templates_types_take_and_no_more(name: str) -> None:
    spec, policy = policy_of(name, guard=True)
    own = {action for actions in DIRECT.values() for action in actions}
    of_stacks = set().union(*stack_actions(resource_types(synthesize(spec)), REGION).values())
    of_key = {"kms:Decrypt", "kms:GenerateDataKey"} if spec.kms_key else set()
    of_certificates = set(ON_CERTIFICATES) if name == "balanced" else set()
    assert set(granted(policy)) == own | of_stacks | of_key | of_certificates


def test_nothing_of_a_schema_is_left_out_but_unused_features_and_other_services() -> None:
    used: set[str] = set()
    direct = {action for actions in DIRECT.values() for action in actions}
    for name in resource_types(stack for spec in SPECS.values() for stack in synthesize(spec)):
        handlers = handler_permissions(name, REGION)
        named = {each for kind, actions in handlers.items() if kind != "list" for each in actions}
        exact = {each for action in named for each in SPELLED_OUT.get(action, (action,))}
        left_out = exact - stack_actions([name], REGION)[name]
        used |= {pattern for pattern in NOT_USED for action in exact if fnmatchcase(action, pattern)}
        unexplained = {each for each in left_out if not any(fnmatchcase(each, it) for it in NOT_USED)}
        assert unexplained <= direct, name  # attachments of documents, the key of an endpoint
    assert set(NOT_USED) - used == set(), "a pattern that leaves nothing out"


def test_no_action_has_a_wildcard_and_everything_is_for_looking_only() -> None:
    _, policy = policy_of("group", guard=True)
    for action, resources in granted(policy).items():
        assert "*" not in action
        verb = action.partition(":")[2]
        assert "*" not in resources or verb.startswith(("Describe", "List", "Get", "Cancel")), action


def test_roles_are_passed_to_ec2_only_and_commands_reach_the_deployments_hosts_only() -> None:
    _, policy = policy_of("cpu")
    conditions = {
        action: (_listed(statement["Resource"]), statement["Condition"]["StringEquals"])
        for statement in policy["Statement"]
        if "Condition" in statement
        for action in _listed(statement["Action"])
    }
    assert conditions == {
        "iam:PassRole": (
            ["arn:aws:iam::123456789012:role/amazonei/amazonei/us-west-2/*"],
            {"iam:PassedToService": ["ec2.amazonaws.com"]},
        ),
        "ssm:SendCommand": (
            ["arn:aws:ec2:us-west-2:123456789012:instance/*"],
            {"aws:ResourceTag/amazonei:deployment": "amazonei"},
        ),
        "ssm:StartSession": (
            ["arn:aws:ec2:us-west-2:123456789012:instance/*"],
            {"aws:ResourceTag/amazonei:deployment": "amazonei"},
        ),
        "ssm:TerminateSession": (
            ["arn:aws:ssm:us-west-2:123456789012:session/*"],
            {"ssm:resourceTag/aws:ssmmessages:session-id": "${aws:userid}"},
        ),
    }


def test_resources_are_the_deployments_own_in_its_own_path() -> None:
    _, policy = policy_of("strict-account")
    resources = granted(policy)
    assert resources["iam:CreateRole"] == {
        f"arn:aws:iam::123456789012:{kind}/teams/amazonei/amazonei/us-west-2/*"
        for kind in ("instance-profile", "policy", "role")
    }
    assert resources["s3:PutObject"] == {"arn:aws:s3:::amazonei-*/*"}
    assert resources["kms:Decrypt"] == {KEY}
    assert resources["ssm:GetParameter"] == {"arn:aws:ssm:us-west-2::parameter/aws/service/*"}
    assert {f"arn:aws:ec2:us-west-2:123456789012:{kind}/*" for kind in ("subnet", "vpc")} <= resources[
        "ec2:CreateSubnet"
    ]
    # Of actions on several types at once, each says its own.
    assert "arn:aws:ec2:us-west-2:123456789012:network-interface/*" not in resources["ec2:DeleteTags"]


def test_a_group_takes_autoscalings_own_role_and_one_host_does_not() -> None:
    assert "iam:CreateServiceLinkedRole" in granted(policy_of("group")[1])
    assert "iam:CreateServiceLinkedRole" not in granted(policy_of("cpu")[1])
    assert own_roles("group") == ["autoscaling.amazonaws.com"]
    assert own_roles("balanced") == ["autoscaling.amazonaws.com", "elasticloadbalancing.amazonaws.com"]


def own_roles(name: str) -> list[str]:
    """Return the services whose roles of AWS's own may be made."""
    statements = policy_of(name)[1]["Statement"]
    (found,) = (each for each in statements if "iam:CreateServiceLinkedRole" in _listed(each["Action"]))
    services: list[str] = found["Condition"]["StringEquals"]["iam:AWSServiceName"]
    return services


def test_a_balanced_group_takes_what_makes_its_balancer_and_no_other_groups_targets() -> None:
    actions = granted(policy_of("balanced")[1])
    assert "elasticloadbalancing:CreateLoadBalancer" not in granted(policy_of("group")[1])
    assert actions["elasticloadbalancing:CreateListener"] == {
        f"arn:aws:elasticloadbalancing:us-west-2:123456789012:{each}/*"
        for each in ("listener/app", "loadbalancer/app", "targetgroup")
    }
    assert actions["acm:DescribeCertificate"] == {CERTIFICATE}
    assert "elasticloadbalancing:RegisterTargets" not in actions
    assert "autoscaling:PutScalingPolicy" in actions


def test_who_deploys_endpoints_makes_asks_and_reads_them() -> None:
    spec = described("inf2.xlarge", endpoints=[{"accelerator": "inf2.xlarge"}])
    policy = deployer_policy(spec, synthesize(spec), PLACE)
    actions = granted(policy)
    assert {"sagemaker:CreateEndpoint", "sagemaker:DeleteModel", "sagemaker:UpdateEndpoint"} <= set(actions)
    assert "application-autoscaling:RegisterScalableTarget" in actions
    own = "arn:aws:sagemaker:us-west-2:123456789012:endpoint/amazonei-*"
    assert actions["sagemaker:InvokeEndpoint"] == {own}
    (passed,) = (each for each in policy["Statement"] if "iam:PassRole" in each["Action"])
    assert "sagemaker.amazonaws.com" in passed["Condition"]["StringEquals"]["iam:PassedToService"]


@pytest.mark.parametrize(
    ("region", "partition"),
    [("us-west-2", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")],
)
def test_arns_are_of_the_regions_partition(region: str, partition: str) -> None:
    assert Place(account="1", region=region).arn("s3:x").startswith(f"arn:{partition}:s3:::x")
