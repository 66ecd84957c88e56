"""The one SSM document that hosts are driven with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import aws_ssm as ssm
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Mapping


class HostDocument(Construct):
    """A command document whose new content becomes a new version, so that running commands keep theirs."""

    def __init__(
        self, scope: Construct, construct_id: str, *, deployment: str, content: Mapping[str, object]
    ) -> None:
        super().__init__(scope, construct_id)
        document = ssm.CfnDocument(
            self,
            "Document",
            content=content,
            document_format="JSON",
            document_type="Command",
            target_type="/AWS::EC2::Instance",
            # CloudFormation's own name would start with the stack's, and Systems Manager reserves
            # names that start with aws, amazon or amzn:
            # https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_CreateDocument.html
            name=f"hosts-of-{deployment}",
            update_method="NewVersion",
        )
        self.name = document.ref
