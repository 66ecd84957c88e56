"""Corrections of SSM documents made by CloudFormation."""

from __future__ import annotations

import json
from typing import Any

from moto.ssm.models import Document, ssm_backends

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.wrapping import instead, wrap

_CREATE = Anchor("moto.ssm.models:Document.create_from_cloudformation_json", "deacf92634ff5626")


def _create(
    _cls: type[Document],
    resource_name: str,
    cloudformation_json: Any,
    account_id: str,
    region_name: str,
    **_kwargs: Any,
) -> Document:
    properties = cloudformation_json["Properties"]
    content = properties.get("Content")
    documents = ssm_backends[account_id][region_name].create_document(
        content=content if isinstance(content, str) else json.dumps(content),
        requires=properties.get("Requires"),
        attachments=properties.get("Attachments"),
        name=properties.get("Name") or resource_name,
        version_name=properties.get("VersionName"),
        document_type=properties.get("DocumentType", "Command"),
        document_format=properties.get("DocumentFormat", "JSON"),
        target_type=properties.get("TargetType"),
        tags=properties.get("Tags"),
    )
    return documents.get_default_version()


CORRECTIONS = (
    Correction(
        name="documents-from-templates",
        statement="A template may give a document's content as an object, and leave out its name and format.",
        source="https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ssm-document.html",
        anchors=(_CREATE,),
        install=wrap((_CREATE, instead(_create))),
    ),
)
