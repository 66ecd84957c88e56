"""Corrections of SSM documents made by CloudFormation."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from moto.ssm.exceptions import DuplicateDocumentContent
from moto.ssm.models import Document, ssm_backends

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.wrapping import Function, instead, wrap

_UPDATE = Anchor("moto.ssm.models:Document.update_from_cloudformation_json", "5053c814760f60c5")
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
    documents = ssm_backends[account_id][region_name].create_document(
        content=_text(properties),
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


def _updating(original: Function) -> Function:
    def update(
        cls: type[Document],
        original_resource: Document,
        new_resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> Document:
        properties = cloudformation_json["Properties"]
        if properties.get("UpdateMethod") != "NewVersion":
            return original(  # type: ignore[no-any-return]
                cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name
            )
        return _add_version(ssm_backends[account_id][region_name], original_resource.name, properties)

    return update


def _add_version(backend: Any, name: str, properties: dict[str, Any]) -> Document:
    """Return the document's default version after the update; the same content makes no new one."""
    documents = backend._get_documents(name)
    with contextlib.suppress(DuplicateDocumentContent):
        described = backend.update_document(
            content=_text(properties),
            attachments=properties.get("Attachments"),
            name=name,
            version_name=properties.get("VersionName"),
            document_version="$LATEST",
            document_format=properties.get("DocumentFormat", "JSON"),
            target_type=properties.get("TargetType"),
        )
        documents.update_default_version(described["DocumentVersion"])
    version: Document = documents.get_default_version()
    return version


def _text(properties: dict[str, Any]) -> str:
    content = properties.get("Content")
    return content if isinstance(content, str) else json.dumps(content)


_REFERENCE = (
    "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ssm-document.html"
)

CORRECTIONS = (
    Correction(
        name="document-versions-from-templates",
        statement="With UpdateMethod NewVersion, a changed document gets a new default version.",
        source=_REFERENCE,
        anchors=(_UPDATE,),
        install=wrap((_UPDATE, _updating)),
    ),
    Correction(
        name="documents-from-templates",
        statement="A template may give a document's content as an object, and leave out its name and format.",
        source=_REFERENCE,
        anchors=(_CREATE,),
        install=wrap((_CREATE, instead(_create))),
    ),
)
