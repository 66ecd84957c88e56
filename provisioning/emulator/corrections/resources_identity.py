"""Identities of a template: roles with all their policies, profiles, and what is detached before deletion."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.models import AWSManagedPolicy, iam_backends
from moto.utilities.utils import get_partition

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.resource_handlers import Handler, Request, amend, register

if TYPE_CHECKING:
    from moto.iam.models import IAMBackend, Role

_IAM = "moto.iam.models:IAMBackend"


def _backend(request: Request) -> IAMBackend:
    return iam_backends[request.account_id][get_partition(request.region)]


def _text(document: Any) -> str:
    return document if isinstance(document, str) else json.dumps(document)


def _create_role(request: Request) -> Role:
    properties = request.properties
    role = _backend(request).create_role(
        role_name=request.name,
        assume_role_policy_document=_text(properties["AssumeRolePolicyDocument"]),
        path=properties.get("Path", "/"),
        permissions_boundary=properties.get("PermissionsBoundary", ""),
        description=properties.get("Description", ""),
        tags=[],
        max_session_duration=str(properties.get("MaxSessionDuration", 3600)),
    )
    with ExitStack() as undo:
        undo.callback(_delete_role, role, request)
        _set_policies(role, request)
        undo.pop_all()
    return role


def _change_role(role: Role, request: Request) -> Role:
    role.assume_role_policy_document = _text(request.properties["AssumeRolePolicyDocument"])
    role.description = request.properties.get("Description", "")
    _set_policies(role, request)
    return role


def _set_policies(role: Role, request: Request) -> None:
    backend, properties = _backend(request), request.properties
    wanted = {
        policy["PolicyName"]: _text(policy["PolicyDocument"]) for policy in properties.get("Policies", [])
    }
    role.policies.clear()
    for name, document in wanted.items():
        backend.put_role_policy(role.name, name, document)
    arns = set(properties.get("ManagedPolicyArns", []))
    for arn in role.managed_policies.keys() - arns:
        backend.detach_role_policy(arn, role.name)
    for arn in sorted(arns - role.managed_policies.keys()):
        _know_aws_policy(backend, request, arn)
        backend.attach_role_policy(arn, role.name)


def _know_aws_policy(backend: IAMBackend, request: Request, arn: str) -> None:
    # moto leaves AWS's own policies out unless told otherwise at its start; one is enough here.
    prefix = f"arn:{get_partition(request.region)}:iam::aws:policy/"
    if arn in backend.managed_policies or not arn.startswith(prefix):
        return
    name = arn.rsplit("/", 1)[1]
    known = json.loads(aws_managed_policies_data).get(name)
    if known is not None:
        policy = AWSManagedPolicy.from_data(name, request.account_id, request.region, known)
        backend.managed_policies[policy.arn] = policy


def _delete_role(role: Role, request: Request) -> None:
    for arn in list(role.managed_policies):
        _backend(request).detach_role_policy(arn, role.name)
    role.policies.clear()
    _backend(request).delete_role(role.name)


def _tag_role(role: Role, request: Request) -> None:
    role.tags = [{"Key": key, "Value": value} for key, value in request.tags.items()]


def _install_role() -> None:
    register(
        "AWS::IAM::Role",
        Handler(
            create=_create_role,
            delete=_delete_role,
            update=_change_role,
            tag=_tag_role,
            name_property="RoleName",
            name_limit=64,
        ),
    )


def _delete_profile(profile: Any, request: Request) -> None:
    _backend(request).delete_instance_profile(profile.name, ignore_attached_roles=True)


def _delete_managed_policy(policy: Any, request: Request) -> None:
    backend = _backend(request)
    for holders in (backend.roles.values(), backend.users.values(), backend.groups.values()):
        for holder in holders:
            if policy.arn in holder.managed_policies:
                policy.detach_from(holder)
    backend.delete_policy(policy.arn)


def _install_deletion() -> None:
    amend("AWS::IAM::InstanceProfile", delete=_delete_profile, update=None, name_limit=128)
    amend("AWS::IAM::ManagedPolicy", delete=_delete_managed_policy, update=None, name_limit=128)


_REFERENCE = "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/"

CORRECTIONS = (
    Correction(
        name="role-resource",
        statement=(
            "A role has the path, the inline and managed policies and the tags of its template, and a "
            "generated name of at most 64 characters."
        ),
        source=_REFERENCE + "aws-resource-iam-role.html",
        anchors=(
            Anchor("moto.iam.models:Role.create_from_cloudformation_json", "0709a64698bc6e1d"),
            Anchor(f"{_IAM}.create_role", "84564b60b64b5ff1"),
            Anchor(f"{_IAM}.put_role_policy", "4acb8fcb0ec28ede"),
            Anchor(f"{_IAM}.attach_role_policy", "7221952fb265869f"),
            Anchor(f"{_IAM}.detach_role_policy", "e60f352cd70cb7fc"),
            Anchor(f"{_IAM}.delete_role", "e10b69684549bcc8"),
        ),
        install=_install_role,
    ),
    Correction(
        name="identity-deletion",
        statement="CloudFormation detaches a managed policy and empties a profile before it deletes them.",
        source=_REFERENCE + "aws-resource-iam-managedpolicy.html",
        anchors=(
            Anchor("moto.iam.models:InstanceProfile.create_from_cloudformation_json", "16d62d718962c3dd"),
            Anchor("moto.iam.models:ManagedPolicy.create_from_cloudformation_json", "139e14d68a43ee53"),
            Anchor(f"{_IAM}.delete_instance_profile", "2691ae5526c7f97a"),
            Anchor(f"{_IAM}.delete_policy", "b15fa9a6449680f5"),
        ),
        install=_install_deletion,
    ),
)
