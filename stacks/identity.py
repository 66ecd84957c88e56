"""Who a host is, and the few things it may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from constructs import Construct

if TYPE_CHECKING:
    from stacks.spec import DeploymentSpec, HostSpec

Statement = dict[str, object]

# The managed policy AmazonSSMManagedInstanceCore also lets a host read every parameter in the account's
# Parameter Store, where people keep secrets. This is what the agent needs to register, to be seen and
# to answer Run Command; only the old agents of Elastic Inference hosts get ec2messages.
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssystemsmanager.html
AGENT_ACTIONS = (
    "ssm:ListInstanceAssociations",
    "ssm:UpdateInstanceAssociationStatus",
    "ssm:UpdateInstanceInformation",
)
CHANNEL_ACTIONS = (
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
)
MESSAGE_ACTIONS = (
    "ec2messages:AcknowledgeMessage",
    "ec2messages:DeleteMessage",
    "ec2messages:FailMessage",
    "ec2messages:GetEndpoint",
    "ec2messages:GetMessages",
    "ec2messages:SendReply",
)


class HostIdentity(Construct):
    """The role and instance profile of one accelerator's hosts, and the policy that is there before them."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        spec: DeploymentSpec,
        host: HostSpec,
        bucket_arn: str,
    ) -> None:
        super().__init__(scope, construct_id)
        role = iam.CfnRole(
            self,
            "Role",
            path=role_path(spec),
            description=f"Hosts of the amazonei deployment {spec.name}",
            permissions_boundary=spec.identity.permissions_boundary,
            # EC2 sends no aws:SourceAccount or aws:SourceArn when it assumes a role.
            assume_role_policy_document=_document([_trust()]),
        )
        # A policy of its own: one inside the role is seen by nobody who lists policies.
        self.policy = iam.CfnManagedPolicy(
            self,
            "Policy",
            path=role_path(spec),
            description=f"Hosts of the amazonei deployment {spec.name}",
            policy_document=_document(_statements(spec, host, bucket_arn)),
            roles=[role.ref],
        )
        profile = iam.CfnInstanceProfile(self, "Profile", path=role_path(spec), roles=[role.ref])
        self.instance_profile = profile.ref


def role_path(spec: DeploymentSpec) -> str:
    """Return the IAM path under which everything of a deployment lives.

    IAM belongs to no region, so the path names the region: a deployment of the same name elsewhere is
    another one.
    """
    return f"{spec.identity.role_path}amazonei/{spec.name}/{spec.region}/"


def role_arns(spec: DeploymentSpec) -> str:
    """Return the pattern that matches the roles of a deployment and no others."""
    return f"arn:{Aws.PARTITION}:iam::{Aws.ACCOUNT_ID}:role{role_path(spec)}*"


def _statements(spec: DeploymentSpec, host: HostSpec, bucket_arn: str) -> list[Statement]:
    statements = [*_agent_statements(), *_object_statements(bucket_arn)]
    if spec.kms_key is not None:
        statements.append(_key_statement(spec.kms_key))
    if host.elastic_inference is not None:
        statements += [_message_statement(), _elastic_inference_statement()]
    return statements


def _trust() -> Statement:
    return {
        "Effect": "Allow",
        "Principal": {"Service": "ec2.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }


def _agent_statements() -> list[Statement]:
    own = f"arn:{Aws.PARTITION}:%s:{Aws.REGION}:{Aws.ACCOUNT_ID}:%s/*"
    return [
        {
            "Sid": "Register",
            "Effect": "Allow",
            "Action": list(AGENT_ACTIONS),
            "Resource": [own % ("ec2", "instance"), own % ("ssm", "association")],
        },
        {
            # These actions have no resource level.
            "Sid": "ReceiveCommands",
            "Effect": "Allow",
            "Action": list(CHANNEL_ACTIONS),
            "Resource": "*",
        },
    ]


def _object_statements(bucket_arn: str) -> list[Statement]:
    return [
        {
            "Sid": "ReadArtifacts",
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": f"{bucket_arn}/artifacts/*",
        },
        {
            # An artifact is fetched as a set of pieces, in one call of `aws s3 cp --recursive`.
            "Sid": "ListPieces",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": bucket_arn,
            "Condition": {"StringLike": {"s3:prefix": "artifacts/pieces/*"}},
        },
        {
            "Sid": "WriteResults",
            "Effect": "Allow",
            "Action": "s3:PutObject",
            "Resource": f"{bucket_arn}/results/*",
        },
    ]


def _key_statement(key: str) -> Statement:
    return {
        "Sid": "UseKeyThroughS3",
        "Effect": "Allow",
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
        "Resource": key,
        "Condition": {"StringEquals": {"kms:ViaService": f"s3.{Aws.REGION}.{Aws.URL_SUFFIX}"}},
    }


def _message_statement() -> Statement:
    # These actions have no resource level.
    return {
        "Sid": "ReceiveCommandsTheOldWay",
        "Effect": "Allow",
        "Action": list(MESSAGE_ACTIONS),
        "Resource": "*",
    }


def _elastic_inference_statement() -> Statement:
    accelerators = f"elastic-inference:{Aws.REGION}:{Aws.ACCOUNT_ID}:elastic-inference-accelerator/*"
    return {
        "Sid": "ConnectAccelerator",
        "Effect": "Allow",
        "Action": "elastic-inference:Connect",
        "Resource": f"arn:{Aws.PARTITION}:{accelerators}",
    }


def _document(statements: list[Statement]) -> Statement:
    return {"Version": "2012-10-17", "Statement": statements}
