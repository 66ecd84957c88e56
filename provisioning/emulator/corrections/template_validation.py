"""What CloudFormation refuses in a template before anything is made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml
from moto.cloudformation.exceptions import CloudFormationError, ValidationError
from moto.cloudformation.utils import yaml_tag_constructor

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.resource_handlers import is_made_here
from provisioning.emulator.corrections.stack_order import creation_order, references
from provisioning.emulator.corrections.template_schemas import attributes_of, property_faults, schema_of
from provisioning.emulator.corrections.wrapping import instead, wrap

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from moto.cloudformation.models import ChangeSet

# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
BODY_LIMIT = 51_200
PSEUDO_PARAMETERS = frozenset(
    f"AWS::{name}"
    for name in [
        "AccountId",
        "NotificationARNs",
        "NoValue",
        "Partition",
        "Region",
        "StackId",
        "StackName",
        "URLSuffix",
    ]
)
_NAMES_OF_IDENTITIES = frozenset(
    {"RoleName", "ManagedPolicyName", "InstanceProfileName", "GroupName", "UserName"}
)


class InsufficientCapabilities(CloudFormationError):
    """The template makes identities, and the caller did not acknowledge that."""

    code = "InsufficientCapabilitiesException"


def parse_template(text: str) -> dict[str, Any]:
    """Read a template in JSON or YAML; anything else is AWS's format error."""
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = _parse_yaml(text)
    if not isinstance(parsed, dict):
        raise ValidationError(message="Template format error: unsupported structure.")
    return parsed


def _parse_yaml(text: str) -> Any:
    yaml.add_multi_constructor("", yaml_tag_constructor)
    try:
        # The Loader moto reads templates with: CloudFormation's short forms (!Ref) are tags to it.
        return yaml.load(text, Loader=yaml.Loader)  # noqa: S506
    except yaml.YAMLError as error:
        raise ValidationError(message=f"Template format error: YAML not well-formed. ({error})") from None


def check_size(body: str) -> None:
    """Refuse a template that is too long to be passed as TemplateBody."""
    if len(body.encode()) > BODY_LIMIT:
        raise ValidationError(
            message="1 validation error detected: Value at 'templateBody' failed to satisfy constraint: "
            f"Member must have length less than or equal to {BODY_LIMIT}"
        )


def check_template(template: Mapping[str, Any], region: str) -> None:
    """Raise AWS's ValidationError for the first thing in the template that can never be made."""
    resources = template.get("Resources")
    if not isinstance(resources, dict) or not resources:
        raise ValidationError(message="Template format error: At least one Resources member must be defined.")
    _check_types(resources, region)
    _check_references(template, resources, region)
    creation_order(resources)
    _check_properties(resources, region)


def _check_types(resources: Mapping[str, Any], region: str) -> None:
    for logical_id, declared in resources.items():
        if not isinstance(declared, dict) or "Type" not in declared:
            raise ValidationError(
                message=f"Template format error: [/Resources/{logical_id}] Every Resources object must "
                "contain a Type member."
            )
    types = {declared["Type"] for declared in resources.values()}
    unknown = sorted(name for name in types if schema_of(name, region) is None and not is_made_here(name))
    if unknown:
        raise ValidationError(
            message=f"Template format error: Unrecognized resource types: [{', '.join(unknown)}]"
        )


def _check_references(template: Mapping[str, Any], resources: Mapping[str, Any], region: str) -> None:
    known = resources.keys() | (template.get("Parameters") or {}).keys() | PSEUDO_PARAMETERS
    for block, content in (("Resources", resources), ("Outputs", template.get("Outputs") or {})):
        named = set(references(content))
        missing = sorted({name for name, _ in named} - known)
        if missing:
            raise ValidationError(
                message="Template format error: Unresolved resource dependencies "
                f"[{', '.join(missing)}] in the {block} block of the template"
            )
        _check_attributes(named, resources, region)


def _check_attributes(
    named: Collection[tuple[str, str | None]], resources: Mapping[str, Any], region: str
) -> None:
    for name, attribute in named:
        if attribute is not None and name in resources:
            allowed = attributes_of(resources[name]["Type"], region)
            if allowed and not any(_matches(attribute, pattern) for pattern in allowed):
                raise ValidationError(
                    message=f"Template error: resource {name} does not support attribute type "
                    f"{attribute} in Fn::GetAtt"
                )


def _matches(attribute: str, pattern: str) -> bool:
    return attribute == pattern or pattern.endswith("*") or attribute.startswith(f"{pattern}.")


def _check_properties(resources: Mapping[str, Any], region: str) -> None:
    for logical_id, declared in resources.items():
        faults = property_faults(declared["Type"], region, declared.get("Properties") or {})
        if faults:
            raise ValidationError(
                message=f"Properties validation failed for resource {logical_id} with message: "
                + ", ".join(faults)
            )


def check_capabilities(template: Mapping[str, Any], given: Collection[str]) -> None:
    """Refuse identities that the caller did not acknowledge with a capability."""
    identities = [r for r in template["Resources"].values() if str(r["Type"]).startswith("AWS::IAM::")]
    if not identities:
        return
    named = any(_NAMES_OF_IDENTITIES & (r.get("Properties") or {}).keys() for r in identities)
    needed = "CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM"
    if "CAPABILITY_NAMED_IAM" not in given and needed not in given:
        raise InsufficientCapabilities(f"Requires capabilities : [{needed}]")


def _parse_change_set(change_set: ChangeSet) -> None:
    change_set.template_dict = parse_template(change_set.template)


_PARSE_TEMPLATE = Anchor("moto.cloudformation.models:Stack.parse_template", "f6a6a6afe8c4771e")
_PARSE_TEMPLATE_CHANGESET = Anchor("moto.cloudformation.models:ChangeSet._parse_template", "8f1ac7383143406a")
_VALIDATE_OUTPUTS = Anchor("moto.cloudformation.parsing:ResourceMap.validate_outputs", "88f4894fee22f933")

CORRECTIONS = (
    Correction(
        name="cloudformation-template-validation",
        statement=(
            "A template with an unknown resource type, an unknown or missing property, an unresolved "
            "reference or a circle is refused with a ValidationError."
        ),
        source="https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/validate-stack-deployments.html",
        anchors=(
            _PARSE_TEMPLATE,
            _PARSE_TEMPLATE_CHANGESET,
            _VALIDATE_OUTPUTS,
        ),
        install=wrap(
            (_PARSE_TEMPLATE, instead(staticmethod(parse_template))),
            (_PARSE_TEMPLATE_CHANGESET, instead(_parse_change_set)),
            (_VALIDATE_OUTPUTS, instead(lambda _resource_map: None)),
        ),
    ),
)
