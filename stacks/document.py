"""The one SSM document that hosts are driven with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import aws_ssm as ssm
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Mapping


class HostDocument(Construct):
    """A command document whose new content becomes a new version, so that running commands keep theirs."""

    def __init__(self, scope: Construct, construct_id: str, *, content: Mapping[str, object]) -> None:
        super().__init__(scope, construct_id)
        document = ssm.CfnDocument(
            self,
            "Document",
            content=content,
            document_format="JSON",
            document_type="Command",
            target_type="/AWS::EC2::Instance",
            update_method="NewVersion",
        )
        self.name = document.ref
