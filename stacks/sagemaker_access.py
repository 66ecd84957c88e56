"""What SageMaker may do with the role of an endpoint or a notebook instance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_cdk import Aws

if TYPE_CHECKING:
    from stacks.hosting import EndpointSpec
    from stacks.images import ServingImage

Statement = dict[str, object]

# What SageMaker needs to put its network interfaces into a VPC; the Describe actions have no resource level.
# https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html#sagemaker-roles-createmodel-perms
LOOKING = (
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
)
ATTACHING = (
    "ec2:CreateNetworkInterface",
    "ec2:CreateNetworkInterfacePermission",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteNetworkInterfacePermission",
)
PULLING = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What of the foundation SageMaker works in."""

    subnet_ids: tuple[str, ...]
    security_group_id: str
    bucket_arn: str
    bucket_key: str | None = None  # the ARN of the account's own key the bucket is encrypted with


def execution_statements(endpoint: EndpointSpec, around: Surroundings, log_group: str) -> list[Statement]:
    """Return what the execution role of an endpoint may do."""
    statements = [
        *network_statements(around, elastic_inference=endpoint.elastic_inference is not None),
        *_pull_statements(endpoint.image),
        _allow("ReadModel", "s3:GetObject", f"{around.bucket_arn}/artifacts/*"),
        _allow(
            "WriteLogs",
            ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            f"{_own('logs', 'log-group:' + log_group)}:*",
        ),
        _allow("Measure", "cloudwatch:PutMetricData", "*")
        | {"Condition": {"StringLike": {"cloudwatch:namespace": "/aws/sagemaker/*"}}},
    ]
    if around.bucket_key is not None:
        statements.append(_allow("OpenModel", "kms:Decrypt", around.bucket_key))
    return statements


def network_statements(around: Surroundings, *, elastic_inference: bool) -> list[Statement]:
    """Return what puts SageMaker's network interfaces into the subnets, and reaches an accelerator there."""
    places = [_own("ec2", f"subnet/{subnet}") for subnet in around.subnet_ids]
    interfaces = [
        _own("ec2", "network-interface/*"),
        _own("ec2", f"security-group/{around.security_group_id}"),
    ]
    statements = [
        _allow("Look", list(LOOKING), "*"),
        _allow("Attach", list(ATTACHING), [*places, *interfaces]),
    ]
    if elastic_inference:
        statements += [
            _allow("FindAccelerators", "ec2:DescribeVpcEndpoints", "*"),
            _allow(
                "ConnectAccelerator",
                "elastic-inference:Connect",
                _own("elastic-inference", "elastic-inference-accelerator/*"),
            ),
        ]
    return statements


def _pull_statements(image: ServingImage) -> list[Statement]:
    repository = f"arn:{Aws.PARTITION}:ecr:{Aws.REGION}:{image.account}:repository/{image.repository}"
    return [
        _allow("LogInToRegistry", "ecr:GetAuthorizationToken", "*"),  # has no resource level
        _allow("PullImage", list(PULLING), repository),
    ]


def _own(service: str, resource: str) -> str:
    return f"arn:{Aws.PARTITION}:{service}:{Aws.REGION}:{Aws.ACCOUNT_ID}:{resource}"


def _allow(sid: str, action: str | list[str], resource: str | list[str]) -> Statement:
    return {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource}
