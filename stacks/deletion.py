"""What it takes to delete a resource of each type our templates make.

The guard's deletion role is put together from the types a deployment really has, so it may delete those
and nothing else. Actions: the `handlers.delete` permissions of the CloudFormation registry schemas and
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_cdk import Aws

from stacks.identity import role_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stacks.spec import DeploymentSpec

Statement = dict[str, object]
DEPLOYMENT_TAG = "amazonei:deployment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """How one type is deleted: `actions` on `resources`, after a look with actions that know no resource.

    A resource is "service:type/pattern"; where `tagged` it must also carry the deployment's tag.
    """

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    looks: tuple[str, ...] = ()
    tagged: bool = True

    @property
    def service(self) -> str:
        """The service whose actions these are."""
        return self.resources[0].partition(":")[0]


def _ec2(kind: str, *actions: str, looks: str) -> Deletion:
    return Deletion(
        actions=tuple(f"ec2:{action}" for action in actions),
        resources=(f"ec2:{kind}/*",),
        looks=(f"ec2:{looks}",),
    )


def _balancing(kind: str) -> Deletion:
    # All three on each: an action is of one type of them anyway, and a role's policy has little room.
    return Deletion(
        actions=(f"elasticloadbalancing:Delete{kind}",),
        resources=tuple(
            f"elasticloadbalancing:{each}/*" for each in ("listener/app", "loadbalancer/app", "targetgroup")
        ),
        looks=(f"elasticloadbalancing:Describe{kind}s",),
    )


_ROLE = Deletion(
    actions=(
        *("iam:DeleteRole", "iam:DetachRolePolicy", "iam:GetRole"),
        *("iam:ListAttachedRolePolicies", "iam:ListInstanceProfilesForRole", "iam:ListRolePolicies"),
    ),
    resources=("iam:role{path}*",),
    tagged=False,  # the path is the deployment's own
)
_SCALING = Deletion(
    actions=(
        *("application-autoscaling:DeleteScalingPolicy", "application-autoscaling:DeregisterScalableTarget"),
    ),
    resources=("application-autoscaling:scalable-target/*",),
    looks=(
        "application-autoscaling:DescribeScalableTargets",
        "application-autoscaling:DescribeScalingPolicies",
    ),
    tagged=False,  # a policy has no tags
)
_GROUP_LOOKS = ("autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeScalingActivities")

DELETIONS: Mapping[str, Deletion] = {
    "AWS::ApplicationAutoScaling::ScalableTarget": _SCALING,
    "AWS::ApplicationAutoScaling::ScalingPolicy": _SCALING,
    "AWS::AutoScaling::AutoScalingGroup": Deletion(
        actions=("autoscaling:DeleteAutoScalingGroup", "autoscaling:UpdateAutoScalingGroup"),
        resources=("autoscaling:autoScalingGroup:*",),
        looks=_GROUP_LOOKS,
    ),
    "AWS::AutoScaling::ScheduledAction": Deletion(
        actions=("autoscaling:DeleteScheduledAction",),
        resources=("autoscaling:autoScalingGroup:*",),
        looks=("autoscaling:DescribeScheduledActions",),
    ),
    "AWS::AutoScaling::ScalingPolicy": Deletion(
        actions=("autoscaling:DeletePolicy",),
        resources=("autoscaling:autoScalingGroup:*",),
        looks=("autoscaling:DescribePolicies",),
    ),
    "AWS::EC2::Instance": _ec2("instance", "TerminateInstances", looks="DescribeInstances"),
    "AWS::EC2::LaunchTemplate": _ec2(
        "launch-template", "DeleteLaunchTemplate", looks="DescribeLaunchTemplates"
    ),
    "AWS::EC2::RouteTable": _ec2("route-table", "DeleteRouteTable", looks="DescribeRouteTables"),
    "AWS::EC2::SecurityGroup": _ec2("security-group", "DeleteSecurityGroup", looks="DescribeSecurityGroups"),
    "AWS::EC2::SecurityGroupEgress": _ec2(
        "security-group", "RevokeSecurityGroupEgress", looks="DescribeSecurityGroupRules"
    ),
    "AWS::EC2::SecurityGroupIngress": _ec2(
        "security-group", "RevokeSecurityGroupIngress", looks="DescribeSecurityGroupRules"
    ),
    "AWS::EC2::Subnet": _ec2("subnet", "DeleteSubnet", looks="DescribeSubnets"),
    "AWS::EC2::SubnetRouteTableAssociation": _ec2(
        "route-table", "DisassociateRouteTable", looks="DescribeRouteTables"
    ),
    "AWS::EC2::VPC": _ec2("vpc", "DeleteVpc", looks="DescribeVpcs"),
    "AWS::EC2::VPCEndpoint": _ec2("vpc-endpoint", "DeleteVpcEndpoints", looks="DescribeVpcEndpoints"),
    "AWS::ElasticLoadBalancingV2::Listener": _balancing("Listener"),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": _balancing("LoadBalancer"),
    "AWS::ElasticLoadBalancingV2::TargetGroup": _balancing("TargetGroup"),
    "AWS::IAM::InstanceProfile": Deletion(
        actions=(
            *("iam:DeleteInstanceProfile", "iam:GetInstanceProfile", "iam:RemoveRoleFromInstanceProfile"),
        ),
        resources=("iam:instance-profile{path}*", "iam:role{path}*"),
        tagged=False,
    ),
    "AWS::IAM::ManagedPolicy": Deletion(
        actions=(
            *("iam:DeletePolicy", "iam:DeletePolicyVersion", "iam:DetachRolePolicy", "iam:GetPolicy"),
            *("iam:ListEntitiesForPolicy", "iam:ListPolicyVersions"),
        ),
        resources=("iam:policy{path}*", "iam:role{path}*"),
        tagged=False,
    ),
    "AWS::IAM::Role": _ROLE,
    "AWS::KMS::Key": Deletion(
        actions=("kms:DescribeKey", "kms:ScheduleKeyDeletion"), resources=("kms:key/*",)
    ),
    "AWS::Logs::LogGroup": Deletion(
        actions=("logs:DeleteLogGroup", "logs:DescribeLogGroups"),
        resources=("logs:log-group:/aws/sagemaker/Endpoints/{name}-*",),
        tagged=False,
    ),
    "AWS::S3::Bucket": Deletion(
        actions=("s3:DeleteBucket", "s3:ListBucket"), resources=("s3:::{name}-*",), tagged=False
    ),
    "AWS::S3::BucketPolicy": Deletion(
        actions=("s3:DeleteBucketPolicy", "s3:GetBucketPolicy"), resources=("s3:::{name}-*",), tagged=False
    ),
    "AWS::SSM::Document": Deletion(
        actions=("ssm:DeleteDocument", "ssm:DescribeDocument", "ssm:GetDocument"),
        resources=("ssm:document/hosts-of-{name}*",),
        tagged=False,
    ),
    "AWS::SageMaker::Endpoint": Deletion(
        actions=("sagemaker:DeleteEndpoint", "sagemaker:DescribeEndpoint"),
        resources=("sagemaker:endpoint/*",),
    ),
    "AWS::SageMaker::EndpointConfig": Deletion(
        actions=("sagemaker:DeleteEndpointConfig", "sagemaker:DescribeEndpointConfig"),
        resources=("sagemaker:endpoint-config/*",),
    ),
    "AWS::SageMaker::Model": Deletion(
        actions=("sagemaker:DeleteModel", "sagemaker:DescribeModel"), resources=("sagemaker:model/*",)
    ),
    "AWS::SageMaker::NotebookInstance": Deletion(
        actions=(
            "sagemaker:DeleteNotebookInstance",
            "sagemaker:DescribeNotebookInstance",
            "sagemaker:StopNotebookInstance",
        ),
        resources=("sagemaker:notebook-instance/*",),
    ),
}


def deletion_statements(spec: DeploymentSpec, types: Iterable[str]) -> list[Statement]:
    """Return what a role needs to delete resources of these types, of this deployment only.

    Raises `KeyError` for a type nobody wrote a deletion for: the guard could not delete it.
    """
    deletions = [DELETIONS[name] for name in sorted(set(types))]
    services = sorted({(deletion.service, deletion.tagged) for deletion in deletions})
    statements = [
        # One statement for a service: each action is of one type of resource anyway, and a policy may
        # have 6,144 characters.
        _statement(spec, [it for it in deletions if (it.service, it.tagged) == (service, tagged)])
        for service, tagged in services
    ]
    looks = sorted({look for deletion in deletions for look in deletion.looks})
    if looks:
        statements.append({"Sid": "Look", "Effect": "Allow", "Action": looks, "Resource": "*"})
    return statements


def _statement(spec: DeploymentSpec, deletions: Sequence[Deletion]) -> Statement:
    """Return the statement for deletions of one service, all of them tagged or none."""
    resources = {resource for deletion in deletions for resource in deletion.resources}
    statement: Statement = {
        "Effect": "Allow",
        "Action": sorted({action for deletion in deletions for action in deletion.actions}),
        "Resource": [_arn(spec, resource) for resource in sorted(resources)],
    }
    if deletions[0].tagged:
        statement["Condition"] = {"StringEquals": {f"aws:ResourceTag/{DEPLOYMENT_TAG}": spec.name}}
    return statement


def _arn(spec: DeploymentSpec, resource: str) -> str:
    service, _, rest = resource.format(name=spec.name, path=role_path(spec)).partition(":")
    place = {"s3": "", "iam": f":{Aws.ACCOUNT_ID}:"}.get(service, f"{Aws.REGION}:{Aws.ACCOUNT_ID}:")
    return f"arn:{Aws.PARTITION}:{service}:{place}{rest}"
