"""Roles that AWS services take on for a deployment, and the key they encrypt with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from stacks.identity import role_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stacks.spec import DeploymentSpec

Statement = dict[str, object]

KEY_PENDING_DAYS = 7  # the shortest that KMS allows
# Everything an administrator needs, spelled out: a policy of kms:* would also allow what is yet to come.
KEY_ADMINISTRATION = (
    *("kms:CancelKeyDeletion", "kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:DisableKey"),
    *("kms:DisableKeyRotation", "kms:EnableKey", "kms:EnableKeyRotation", "kms:Encrypt"),
    *("kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:GetKeyPolicy"),
    *("kms:GetKeyRotationStatus", "kms:ListGrants", "kms:ListKeyPolicies", "kms:ListResourceTags"),
    *("kms:PutKeyPolicy", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:RetireGrant", "kms:RevokeGrant"),
    *("kms:ScheduleKeyDeletion", "kms:TagResource", "kms:UntagResource", "kms:UpdateKeyDescription"),
)


class ServiceRole(Construct):
    """A role that one service takes on, for resources of this account only, with one policy of its own."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        spec: DeploymentSpec,
        purpose: str,
        trust: Statement,
        statements: Sequence[Statement],
    ) -> None:
        super().__init__(scope, construct_id)
        role = iam.CfnRole(
            self,
            "Role",
            path=role_path(spec),
            description=f"{purpose} of the amazonei deployment {spec.name}",
            assume_role_policy_document=document([trust]),
            permissions_boundary=spec.identity.permissions_boundary,
        )
        # A policy of its own, as NIST 800-53 and PCI DSS ask: one inside the role is seen by nobody
        # who lists policies.
        self.policy = iam.CfnManagedPolicy(
            self,
            "Policy",
            path=role_path(spec),
            description=f"{purpose} of the amazonei deployment {spec.name}",
            policy_document=document(statements),
            roles=[role.ref],
        )
        self.arn = role.attr_arn


class DataKey(Construct):
    """A key for what services store of a deployment; KMS keeps it for a week after its stack is gone."""

    def __init__(
        self, scope: Construct, construct_id: str, *, purpose: str, users: Sequence[Statement] = ()
    ) -> None:
        super().__init__(scope, construct_id)
        key = kms.CfnKey(
            self,
            "Key",
            description=purpose,
            enable_key_rotation=True,
            pending_window_in_days=KEY_PENDING_DAYS,
            key_policy=document([*_administration(), *users]),
        )
        self.arn = key.attr_arn


def document(statements: Sequence[Statement]) -> Statement:
    """Return a policy document of these statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def trust_of(service: str, source_arn: str | None = None) -> Statement:
    """Return the statement that lets a service take a role on, for resources of this account only.

    Without `source_arn` for services that do not say for whom they take a role on: there a condition
    would never hold. https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html
    """
    trust: Statement = {
        "Effect": "Allow",
        "Principal": {"Service": f"{service}.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    if source_arn is not None:
        trust["Condition"] = {
            "StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID},
            "ArnLike": {"aws:SourceArn": source_arn},
        }
    return trust


def _administration() -> list[Statement]:
    account: Statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:{Aws.PARTITION}:iam::{Aws.ACCOUNT_ID}:root"},
        "Resource": "*",  # in a key's policy: this key
    }
    elsewhere = {"kms:GrantIsForAWSResource": "false", "aws:PrincipalIsAWSService": "false"}
    return [
        account | {"Sid": "Administration", "Action": list(KEY_ADMINISTRATION)},
        {
            "Sid": "GrantsToServicesOnly",
            "Effect": "Deny",
            "Principal": {"AWS": "*"},
            "Action": ["kms:CreateGrant"],
            "Resource": "*",
            "Condition": {"BoolIfExists": elsewhere},
        },
    ]
