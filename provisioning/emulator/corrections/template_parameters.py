"""Corrections of template parameters: constraints are checked, and SSM parameters must exist."""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any

from moto.cloudformation.exceptions import ValidationError
from moto.ssm.models import ssm_backends

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.wrapping import instead, wrap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from moto.cloudformation.parsing import ResourceMap

_SSM_TYPE = "AWS::SSM::Parameter::Value<"


def check_parameters(template: Mapping[str, Any], given: Mapping[str, str]) -> None:
    """Raise AWS's ValidationError for a parameter that is unknown, missing or outside its constraints."""
    slots: Mapping[str, Any] = template.get("Parameters") or {}
    unknown = sorted(given.keys() - slots.keys())
    if unknown:
        raise ValidationError(message=f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    missing = sorted(name for name, slot in slots.items() if name not in given and "Default" not in slot)
    if missing:
        raise ValidationError(message=f"Parameters: [{', '.join(missing)}] must have values")
    for name, slot in slots.items():
        _check_value(name, slot, str(given.get(name, slot.get("Default"))))


def _check_value(name: str, slot: Mapping[str, Any], value: str) -> None:
    allowed = slot.get("AllowedValues")
    if allowed is not None and value not in {str(choice) for choice in allowed}:
        _refuse(slot, f"Parameter '{name}' must be one of AllowedValues")
    pattern = slot.get("AllowedPattern")
    if pattern is not None and not re.fullmatch(pattern, value):
        _refuse(slot, f"Parameter '{name}' must match pattern {pattern}")
    if slot.get("Type") == "Number" and not re.fullmatch(r"[+-]?\d+(\.\d+)?", value):
        _refuse(slot, f"Parameter '{name}' must be a number.")
    for key, measure, within in _BOUNDS:
        if key in slot and not within(measure(value), float(slot[key])):
            _refuse(slot, f"Parameter '{name}' violates {key} {slot[key]}")


_BOUNDS: tuple[tuple[str, Callable[[str], float], Callable[[float, float], bool]], ...] = (
    ("MinLength", len, operator.ge),
    ("MaxLength", len, operator.le),
    ("MinValue", float, operator.ge),
    ("MaxValue", float, operator.le),
)


def _refuse(slot: Mapping[str, Any], fact: str) -> None:
    raise ValidationError(message=slot.get("ConstraintDescription") or fact)


def _parse_ssm_parameter(resource_map: ResourceMap, value: str, value_type: str) -> Any:
    backend = ssm_backends[resource_map._account_id][resource_map._region_name]
    parameter = backend.get_parameter(value)
    if parameter is None:
        raise ValidationError(
            message=f"Unable to fetch parameters [{value}] from parameter store for this account."
        )
    return parameter.value.split(",") if value_type.startswith(f"{_SSM_TYPE}List<") else parameter.value


def _load_parameters(resource_map: ResourceMap) -> None:
    slots: Mapping[str, Any] = resource_map._template.get("Parameters") or {}
    given = resource_map.input_parameters
    check_parameters(resource_map._template, {name: given[name] for name in given if name in slots})
    resource_map.no_echo_parameter_keys = [name for name in given if slots.get(name, {}).get("NoEcho")]
    for name, slot in slots.items():
        raw = str(given.get(name, slot.get("Default")))
        resource_map.resolved_parameters[name] = _typed(resource_map, raw, slot.get("Type", "String"))
    resource_map._parsed_resources.update(resource_map.resolved_parameters)


def _typed(resource_map: ResourceMap, raw: str, value_type: str) -> Any:
    if value_type.startswith(_SSM_TYPE):
        return resource_map.parse_ssm_parameter(raw, value_type)
    if value_type == "List<Number>":
        return [_number(item.strip()) for item in raw.split(",")]
    if value_type == "CommaDelimitedList" or value_type.startswith("List<"):
        return [item.strip() for item in raw.split(",")]
    return _number(raw) if value_type == "Number" else raw


def _number(text: str) -> float:
    return float(text) if "." in text else int(text)


_LOAD_PARAMETERS = Anchor("moto.cloudformation.parsing:ResourceMap.load_parameters", "f6bf66c80f5f00ae")
_PARSE_SSM_PARAMETER = Anchor(
    "moto.cloudformation.parsing:ResourceMap.parse_ssm_parameter", "a004b5be11318dff"
)

CORRECTIONS = (
    Correction(
        name="cloudformation-parameters",
        statement=(
            "A parameter must exist in the template, have a value within its constraints, and name an "
            "existing SSM parameter where its type says so."
        ),
        source="https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html",
        anchors=(
            _LOAD_PARAMETERS,
            _PARSE_SSM_PARAMETER,
        ),
        install=wrap(
            (_LOAD_PARAMETERS, instead(_load_parameters)),
            (_PARSE_SSM_PARAMETER, instead(_parse_ssm_parameter)),
        ),
    ),
)
