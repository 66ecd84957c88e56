"""Who a host is, and the few things it may do."""

from __future__ import annotations

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from constructs import Construct

Statement = dict[str, object]

# The managed policy AmazonSSMManagedInstanceCore also lets a host read every parameter in the account's
# Parameter Store, where people keep secrets. This is what the agent needs to register, to be seen and
# to answer Run Command; ec2messages is left out because no endpoint leads there.
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


class HostIdentity(Construct):
    """The role and instance profile of one accelerator's hosts."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        deployment: str,
        bucket_arn: str,
        elastic_inference: bool,
    ) -> None:
        super().__init__(scope, construct_id)
        statements = [*_agent_statements(), *_object_statements(bucket_arn)]
        if elastic_inference:
            statements.append(_elastic_inference_statement())
        role = iam.CfnRole(
            self,
            "Role",
            path=role_path(deployment),
            description=f"Hosts of the amazonei deployment {deployment}",
            assume_role_policy_document=_document([_trust()]),
            policies=[iam.CfnRole.PolicyProperty(policy_name="host", policy_document=_document(statements))],
        )
        profile = iam.CfnInstanceProfile(self, "Profile", path=role_path(deployment), roles=[role.ref])
        self.instance_profile = profile.ref


def role_path(deployment: str) -> str:
    """Return the IAM path under which everything of a deployment lives."""
    return f"/amazonei/{deployment}/"


def role_arns(deployment: str) -> str:
    """Return the pattern that matches the roles of a deployment and no others."""
    return f"arn:{Aws.PARTITION}:iam::{Aws.ACCOUNT_ID}:role{role_path(deployment)}*"


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
            "Sid": "WriteResults",
            "Effect": "Allow",
            "Action": "s3:PutObject",
            "Resource": f"{bucket_arn}/results/*",
        },
    ]


def _elastic_inference_statement() -> Statement:
    # The minimal policy of AWS's guide; accelerators had no ARN before they were attached.
    return {
        "Sid": "ConnectAccelerator",
        "Effect": "Allow",
        "Action": "elastic-inference:Connect",
        "Resource": "*",
    }


def _document(statements: list[Statement]) -> Statement:
    return {"Version": "2012-10-17", "Statement": statements}
