"""Corrections of policy evaluation: a statement whose condition does not hold does not apply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.iam.access_control import PermissionResult

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.wrapping import Function, wrap

if TYPE_CHECKING:
    from collections.abc import Mapping

    from moto.iam.access_control import IAMPolicyStatement

_EVALUATE = Anchor("moto.iam.access_control:IAMPolicyStatement.is_action_permitted", "d86e7f35bd7d3fb8")
# Loopback stands for TLS here: the bytes of a request do not leave the machine.
_TRANSPORT = {"aws:SecureTransport": "true"}
_BOOLEAN = ("Bool", "BoolIfExists")


def _evaluated(original: Function) -> Function:
    def is_action_permitted(self: IAMPolicyStatement, *arguments: Any, **options: Any) -> Any:
        conditions: Mapping[str, Mapping[str, Any]] = self._statement.get("Condition") or {}
        if not all(_holds(conditions.get(operator, {})) for operator in _BOOLEAN):
            return PermissionResult.NEUTRAL
        return original(self, *arguments, **options)

    return is_action_permitted


def _holds(condition: Mapping[str, Any]) -> bool:
    known = (key for key in condition if key in _TRANSPORT)
    return all(_TRANSPORT[key] == str(condition[key]).lower() for key in known)


CORRECTIONS = (
    Correction(
        name="boolean-conditions",
        statement="A statement applies only when its condition holds; moto takes every Bool to hold.",
        source="https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition.html",
        anchors=(_EVALUATE,),
        install=wrap((_EVALUATE, _evaluated)),
    ),
)
