"""Log groups and SSM documents of a template: tags, retention, and new versions in place."""

from __future__ import annotations

import json
from typing import Any

from moto.logs.models import logs_backends
from moto.ssm.models import ssm_backends

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.resource_handlers import Handler, Made, Request, amend, register

_SSM = "moto.ssm.models:SimpleSystemManagerBackend"


def _change_log_group(group: Any, request: Request) -> Any:
    group.set_retention_policy(request.properties.get("RetentionInDays"))
    return group


def _tag_log_group(group: Any, request: Request) -> None:
    logs_backends[request.account_id][request.region].tag_resource(group.arn, request.tags)


def _install_logs() -> None:
    amend("AWS::Logs::LogGroup", update=_change_log_group, tag=_tag_log_group, name_limit=512)


def _change_document(document: Any, request: Request) -> Any:
    """Make the content the default version: a new one, or the one that has it already."""
    backend, properties = ssm_backends[request.account_id][request.region], request.properties
    content = properties["Content"]
    text = content if isinstance(content, str) else json.dumps(content)
    for version in backend._get_documents(document.name).versions.values():
        if version.content == text:
            backend.update_document_default_version(document.name, version.document_version)
            return version
    changed = backend.update_document(
        content=text,
        attachments=properties.get("Attachments", []),
        name=document.name,
        version_name=properties.get("VersionName", ""),
        document_version="$LATEST",
        document_format=properties.get("DocumentFormat", "JSON"),
        target_type=properties.get("TargetType", ""),
    )
    backend.update_document_default_version(document.name, changed["DocumentVersion"])
    return backend._get_documents(document.name).get_default_version()


def _delete_document(document: Any, request: Request) -> None:
    backend = ssm_backends[request.account_id][request.region]
    backend.delete_document(name=document.name, document_version="", version_name="", force=True)


def _tag_document(document: Any, request: Request) -> None:
    backend = ssm_backends[request.account_id][request.region]
    backend.add_tags_to_resource("Document", document.name, request.tags)


def _install_documents() -> None:
    amend(
        "AWS::SSM::Document",
        update=_change_document,
        delete=_delete_document,
        tag=_tag_document,
        name_property="Name",
        name_limit=128,
    )


def _note(request: Request) -> Made:
    return Made(physical_resource_id=request.name)


def _forget(_note: Made, _request: Request) -> None:
    """There is nothing behind the note that the CDK leaves in a template."""


def _install_metadata() -> None:
    register("AWS::CDK::Metadata", Handler(create=_note, delete=_forget, update=lambda made, _request: made))


_REFERENCE = "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/"

CORRECTIONS = (
    Correction(
        name="log-group-resource",
        statement="A log group carries its stack's tags and changes its retention in place.",
        source=_REFERENCE + "aws-resource-logs-loggroup.html",
        anchors=(
            Anchor("moto.logs.models:LogGroup.create_from_cloudformation_json", "deb66d378397cc72"),
            Anchor("moto.logs.models:LogGroup.set_retention_policy", "d13c4822b51872b9"),
            Anchor("moto.logs.models:LogsBackend.tag_resource", "80d8e7f609c0e686"),
        ),
        install=_install_logs,
    ),
    Correction(
        name="document-resource",
        statement="A document with UpdateMethod NewVersion gets a new default version, and keeps its name.",
        source=_REFERENCE + "aws-resource-ssm-document.html",
        anchors=(
            Anchor(f"{_SSM}.update_document", "7ae55c6546b27812"),
            Anchor(f"{_SSM}.update_document_default_version", "77f55fb891fbb674"),
            Anchor(f"{_SSM}.delete_document", "48155b8ad944a79f"),
            Anchor(f"{_SSM}.add_tags_to_resource", "8eba177637c42891"),
        ),
        install=_install_documents,
    ),
    Correction(
        name="cdk-metadata-resource",
        statement="AWS::CDK::Metadata is a resource that makes nothing.",
        source="https://docs.aws.amazon.com/cdk/v2/guide/usage-data.html",
        anchors=(Anchor("moto.cloudformation.parsing:get_model_map", "d19f7221e56e2466"),),
        install=_install_metadata,
    ),
)
