"""What a person must be allowed to do to deploy, use and remove one deployment: an IAM policy.

Put together from the calls themselves (`deployer_actions`) and from what is in this deployment's templates,
with the narrowest resources that AWS lets be named.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from provisioning.deployer_actions import (
    DIRECT,
    ON_CERTIFICATES,
    WITH_ENDPOINTS,
    resources_of,
    stack_actions,
)
from provisioning.deployment import TAG_DEPLOYMENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stacks.spec import DeploymentSpec
    from stacks.synth import SynthesizedStack

Policy = dict[str, Any]


PARTITIONS = (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Whose policy it is: what the ARNs in it begin with."""

    account: str
    region: str

    @property
    def partition(self) -> str:
        """The partition the region is in."""
        return next((name for start, name in PARTITIONS if self.region.startswith(start)), "aws")

    def arn(self, pattern: str) -> str:
        """Return the ARN of "service:rest"; IAM and S3 know no region, and S3 no account."""
        if pattern == "*":
            return pattern
        service, _, rest = pattern.partition(":")
        where = {"s3": ":", "iam": f":{self.account}"}.get(service, f"{self.region}:{self.account}")
        if service == "budgets":
            return f"arn:{self.partition}:budgets::{self.account}{rest}"
        if rest.startswith(":"):  # owned by AWS
            return f"arn:{self.partition}:{service}:{self.region}:{rest}"
        return f"arn:{self.partition}:{service}:{where}:{rest}"


# What a call names besides the resource it makes or changes.
BESIDES: Mapping[str, tuple[str, ...]] = {
    "ec2:AssociateRouteTable": ("subnet",),
    "ec2:AuthorizeSecurityGroupEgress": ("security-group-rule",),
    "ec2:AuthorizeSecurityGroupIngress": ("security-group-rule",),
    "ec2:CreateRouteTable": ("vpc",),
    "ec2:CreateSecurityGroup": ("vpc",),
    "ec2:CreateSubnet": ("vpc",),
    "ec2:CreateTags": ("network-interface", "volume"),
    "ec2:CreateVpcEndpoint": ("route-table", "security-group", "subnet", "vpc"),
    "ec2:ModifyVpcEndpoint": ("route-table", "security-group", "subnet"),
    "ec2:RunInstances": (
        *(":image", "instance", "key-pair", "launch-template", "network-interface", "security-group"),
        *("subnet", "volume"),
    ),
}
# Actions that know no resource, by how they begin after the service.
LOOKING = ("Describe", "List")
WITH_RESOURCE_LEVEL = (
    "scheduler:ListTags*",
    "sqs:ListQueueTags",
    "iam:List*",
    "s3:List*",
    "sagemaker:*",
    "ssm:DescribeDocument",
    "ssm:ListTagsForResource",
)


# Actions that are of one type of resource each: naming the other types beside it allows nothing more, and a
# statement for all of them leaves room in a role's policy. The others keep a statement of their own.
TOGETHER = ("ec2:", "elasticloadbalancing:", "iam:")
APART = ("ec2:CreateTags", "ec2:DeleteTags", "ec2:RunInstances")
# AWS's own roles that a first resource of a type makes in an account: the type, and the role's service.
OWN_ROLES: Mapping[str, str] = {
    "AWS::AutoScaling::AutoScalingGroup": "autoscaling.amazonaws.com",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "elasticloadbalancing.amazonaws.com",
}
PASSED_TO: Mapping[str, tuple[str, ...]] = {
    "AWS::AutoScaling::AutoScalingGroup": ("ec2.amazonaws.com",),
    "AWS::EC2::Instance": ("ec2.amazonaws.com",),
    "AWS::SageMaker::Model": ("sagemaker.amazonaws.com",),
    "AWS::SageMaker::NotebookInstance": ("sagemaker.amazonaws.com",),
    "AWS::Scheduler::Schedule": ("scheduler.amazonaws.com", "cloudformation.amazonaws.com"),
}


def deployer_policy(spec: DeploymentSpec, stacks: Sequence[SynthesizedStack], place: Place) -> Policy:
    """Return the policy of somebody who deploys, uses and removes this deployment, and no other."""
    granted: dict[str, set[str]] = defaultdict(set)
    for pattern, actions in (*DIRECT.items(), *(WITH_ENDPOINTS.items() if spec.endpoints else ())):
        granted[pattern.format(name=spec.name)].update(actions)
    types = resource_types(stacks)
    for name, needed in stack_actions(types, spec.region).items():
        for action in needed - {"iam:PassRole", "iam:CreateServiceLinkedRole"}:
            for pattern in _resources(spec, name, action):
                granted[pattern].add(action)
    for certificate in spec.certificates:
        granted[certificate].update(ON_CERTIFICATES)
    if spec.kms_key is not None:
        granted[spec.kms_key].update({"kms:Decrypt", "kms:GenerateDataKey"})
    statements = [*_statements(granted, place), *_conditional(spec, types, place)]
    return {"Version": "2012-10-17", "Statement": statements}


def resource_types(stacks: Iterable[SynthesizedStack]) -> tuple[str, ...]:
    """Return the types of everything in the templates."""
    bodies = (json.loads(stack.body)["Resources"].values() for stack in stacks)
    return tuple(sorted({resource["Type"] for body in bodies for resource in body}))


def _resources(spec: DeploymentSpec, type_name: str, action: str) -> tuple[str, ...]:
    """Return what an action is allowed on: the type's own resources, wherever AWS lets it be said."""
    from stacks.identity import role_path

    service, _, verb = action.partition(":")
    named = any(fnmatchcase(action, pattern) for pattern in WITH_RESOURCE_LEVEL)
    if verb.startswith(LOOKING) and not named:
        return ("*",)
    own = (each.format(name=spec.name, path=role_path(spec)) for each in resources_of(type_name))
    patterns = [each for each in own if each.startswith(f"{service}:")]
    if service == "s3" and verb.endswith("Object"):
        patterns = [f"{each}/*" for each in patterns]
    return (*patterns, *(f"{service}:{kind}/*" for kind in BESIDES.get(action, ())))


def _statements(granted: Mapping[str, set[str]], place: Place) -> list[Policy]:
    """Return one statement for each set of resources, the fewest there can be."""
    of_actions: dict[str, set[str]] = defaultdict(set)
    for pattern, actions in granted.items():
        for action in actions:
            of_actions[action].add(pattern if pattern.startswith("arn:") else place.arn(pattern))
    by_resources: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for action, arns in sorted(_together(of_actions).items()):
        by_resources[_widest(arns)].append(action)
    return [
        {"Effect": "Allow", "Action": _short(actions), "Resource": _short(arns)}
        for arns, actions in sorted(by_resources.items())
    ]


def _together(of_actions: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return the same, with the resources of all actions that may share them."""
    shared: dict[str, set[str]] = defaultdict(set)
    for action, arns in of_actions.items():
        shared[_sharing(action, arns)].update(arns)
    return {action: shared[_sharing(action, arns)] for action, arns in of_actions.items()}


def _sharing(action: str, arns: set[str]) -> str:
    """Return the name that actions have in common which share their resources: mostly their own."""
    alone = not action.startswith(TOGETHER) or action in APART or "*" in arns
    return action if alone else action.partition(":")[0]


def _short(values: Sequence[str]) -> str | list[str]:
    """Return the only value as itself: IAM counts characters."""
    return values[0] if len(values) == 1 else list(values)


def _widest(arns: set[str]) -> tuple[str, ...]:
    """Return the ARNs without those that another one covers."""
    return tuple(sorted(arn for arn in arns if not any(fnmatchcase(arn, it) for it in arns - {arn})))


def _conditional(spec: DeploymentSpec, types: Sequence[str], place: Place) -> list[Policy]:
    """Return what is allowed under a condition: whose hosts, which services, which of AWS's own roles."""
    from stacks.identity import role_path

    passed_to = sorted({service for name in types for service in PASSED_TO.get(name, ())})
    statements = [
        _allowed(
            ("ssm:SendCommand", "ssm:StartSession"),
            place.arn("ec2:instance/*"),
            {f"aws:ResourceTag/{TAG_DEPLOYMENT}": spec.name},
        ),
        _allowed(
            ("iam:PassRole",), place.arn(f"iam:role{role_path(spec)}*"), {"iam:PassedToService": passed_to}
        ),
        # A role has no user name; its sessions carry who started them as a tag.
        _allowed(
            ("ssm:TerminateSession",),
            place.arn("ssm:session/*"),
            {"ssm:resourceTag/aws:ssmmessages:session-id": "${aws:userid}"},
        ),
    ]
    if services := [service for name, service in OWN_ROLES.items() if name in types]:
        own = place.arn("iam:role/aws-service-role/*")
        statements.append(_allowed(("iam:CreateServiceLinkedRole",), own, {"iam:AWSServiceName": services}))
    return statements


def _allowed(actions: Sequence[str], resource: str, condition: Mapping[str, object]) -> Policy:
    return {
        "Effect": "Allow",
        "Action": _short(actions),
        "Resource": resource,
        "Condition": {"StringEquals": condition},
    }
