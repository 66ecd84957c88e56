"""Corrections of how moto resolves a template's functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.cloudformation import parsing
from moto.cloudformation.exceptions import UnformattedGetAttTemplateException, ValidationError
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.wrapping import instead, wrap

if TYPE_CHECKING:
    from moto.cloudformation.parsing import ResourceMap

_moto_clean_json = parsing.clean_json


def _zones(argument: Any, resources_map: ResourceMap) -> list[str]:
    region = parsing.clean_json(argument, resources_map) or resources_map["AWS::Region"]
    return [
        zone.name
        for zone in RegionsAndZonesBackend.zones[str(region)]
        if zone.zone_type == "availability-zone"
    ]


def _attribute(argument: str | list[str], resources_map: ResourceMap) -> Any:
    name, *path = argument.split(".") if isinstance(argument, str) else argument
    resource: Any = resources_map.get(name)
    if resource is None:
        message = f"Template error: instance of Fn::GetAtt references undefined resource {name}"
        raise ValidationError(message=message)
    attribute = ".".join(str(parsing.clean_json(step, resources_map)) for step in path)
    try:
        return resource.get_cfn_attribute(attribute)
    except UnformattedGetAttTemplateException:
        message = UnformattedGetAttTemplateException.description.format(name, attribute)
        raise ValidationError(message=message) from None


def _clean_json(resource_json: Any, resources_map: ResourceMap) -> Any:
    # moto's own recursion calls this name in its module, so each nested value comes through here.
    if isinstance(resource_json, list):
        resolved = [_clean_json(item, resources_map) for item in resource_json]
        return [item for item in resolved if item is not None]
    if isinstance(resource_json, dict) and "Fn::GetAZs" in resource_json:
        return _zones(resource_json["Fn::GetAZs"], resources_map)
    if isinstance(resource_json, dict) and "Fn::GetAtt" in resource_json:
        return _attribute(resource_json["Fn::GetAtt"], resources_map)
    return _moto_clean_json(resource_json, resources_map)


def _existing_resource(resource_map: ResourceMap, key: str) -> Any:
    if key in resource_map._parsed_resources:
        return resource_map._parsed_resources[key]
    if key in resource_map._resource_json_map:
        return None
    raise KeyError(key)


_CLEAN_JSON = Anchor("moto.cloudformation.parsing:clean_json", "19c6d13ef4447530")
_GETITEM = Anchor("moto.cloudformation.parsing:ResourceMap.__getitem__", "49ec530e47a15c2c")

CORRECTIONS = (
    Correction(
        name="cloudformation-functions",
        statement=(
            "Fn::GetAZs answers with the zones of the region asked for (the stack's own for an empty "
            "string), AWS::NoValue removes an element of a list, and an attribute that cannot be read is "
            "an error."
        ),
        source="https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-getavailabilityzones.html",
        anchors=(_CLEAN_JSON,),
        install=wrap((_CLEAN_JSON, instead(_clean_json))),
    ),
    Correction(
        name="cloudformation-lookup-makes-nothing",
        statement="Reading a template or describing a stack makes no resource.",
        source="https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-changesets.html",
        anchors=(_GETITEM,),
        install=wrap((_GETITEM, instead(_existing_resource))),
    ),
)
