"""Corrections of public image parameters: the catalogue's images resolve, and can be launched."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from moto.core.utils import utcnow
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import Ami
from moto.ssm.models import Parameter, ParameterDict

from artifacts.targets import catalogue
from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.wrapping import Function, wrap

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOADING = Anchor("moto.ssm.models:ParameterDict._check_loading_status", "47abfc85e1d800d9")
_LISTING = Anchor("moto.ssm.models:SimpleSystemManagerBackend.describe_parameters", "9b42b1b2cba94fa4")
_PUBLIC = "/aws/"
_AMAZON = "137112412989"  # the account that owns Amazon Linux images


def image_parameters() -> Mapping[str, str]:
    """Return each public parameter that the catalogue names, with its image's architecture."""
    return {target.image_parameter: target.architecture for target in catalogue().values()}


def image_id(name: str, region: str) -> str:
    """Return the emulated image id behind a parameter: the same in every emulator, another per region."""
    return "ami-" + hashlib.sha256(f"{region}:{name}".encode()).hexdigest()[:17]


def _loading(original: Function) -> Function:
    def check_loading_status(self: ParameterDict, key: str) -> None:
        original(self, key)
        architecture = image_parameters().get(key)
        if architecture is not None and not dict.__contains__(self, key):
            dict.__setitem__(self, key, [_parameter(self, key)])
        if architecture is not None:
            _register(self, key, architecture)

    return check_loading_status


def _own(original: Function) -> Function:
    def describe_parameters(self: Any, *arguments: Any, **options: Any) -> list[Parameter]:
        listed = original(self, *arguments, **options)
        return [parameter for parameter in listed if not parameter.name.startswith(_PUBLIC)]

    return describe_parameters


def _parameter(parameters: ParameterDict, name: str) -> Parameter:
    return Parameter(  # type: ignore[abstract]  # moto makes them so itself
        account_id=parameters.account_id,
        name=name,
        value=image_id(name, parameters.region_name),
        parameter_type="String",
        description=None,
        allowed_pattern=None,
        keyid=None,
        last_modified_date=utcnow(),
        version=1,
        data_type="aws:ec2:image",
    )


def _register(parameters: ParameterDict, name: str, architecture: str) -> None:
    """Make the image that the parameter names known to EC2, in the parameter's region."""
    backend: Any = ec2_backends[parameters.account_id][parameters.region_name]
    identifier = dict.__getitem__(parameters, name)[-1].value
    if identifier not in backend.amis:
        backend.amis[identifier] = Ami(
            backend,
            identifier,
            name=name.strip("/").replace("/", "-"),
            description=f"Emulated image of {name}",
            owner_id=_AMAZON,
            owner_alias="amazon",
            public=True,
            virtualization_type="hvm",
            architecture="arm64" if architecture == "arm64" else "x86_64",
            hypervisor="xen",
            root_device_type="ebs",
            root_device_name="/dev/sda1" if "ubuntu" in name else "/dev/xvda",
            region_name=parameters.region_name,
        )


CORRECTIONS = (
    Correction(
        name="public-image-parameters",
        statement="AWS publishes the newest image of each family as a public parameter.",
        source="https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-public-parameters-ami.html",
        anchors=(_LOADING,),
        install=wrap((_LOADING, _loading)),
    ),
    Correction(
        name="public-parameters-are-not-listed",
        statement="Public parameters are read by name; a listing shows the account's own only.",
        source="https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-public-parameters.html",
        anchors=(_LISTING,),
        install=wrap((_LISTING, _own)),
    ),
)
