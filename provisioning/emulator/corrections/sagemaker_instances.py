"""Corrections of SageMaker hosting: an endpoint may run on every instance type that the API knows."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.loaders import Loader
from moto.sagemaker.exceptions import ValidationError

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.wrapping import instead, wrap

if TYPE_CHECKING:
    from collections.abc import Callable

_HOSTING = Anchor("moto.sagemaker.models:FakeEndpointConfig.validate_instance_type", "cabef237eeb2fc29")
_NOTEBOOK = Anchor(
    "moto.sagemaker.models:FakeSagemakerNotebookInstance.validate_instance_type", "c3566690f27a1e78"
)


@cache
def _instance_types(shape: str) -> frozenset[str]:
    model = Loader().load_service_model("sagemaker", "service-2")
    return frozenset(model["shapes"][shape]["enum"])


def _validator(shape: str) -> Callable[[Any, str], None]:
    def validate_instance_type(_self: Any, instance_type: str) -> None:
        if instance_type not in _instance_types(shape):
            raise ValidationError(
                message=f"Value '{instance_type}' at 'instanceType' failed to satisfy constraint: "
                "Member must satisfy enum value set"
            )

    return validate_instance_type


CORRECTIONS = (
    Correction(
        name="sagemaker-hosting-types",
        statement="An endpoint may run on Inf2 and Trn1 instances like on every type the API names.",
        source="https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ProductionVariant.html",
        anchors=(_HOSTING, _NOTEBOOK),
        install=wrap(
            (_HOSTING, instead(_validator("ProductionVariantInstanceType"))),
            (_NOTEBOOK, instead(_validator("InstanceType"))),
        ),
    ),
)
