"""Corrections of RunInstances: it refuses what EC2 refuses, and keeps what it was told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from moto.ec2.exceptions import EC2ClientError, InvalidAMIIdError, InvalidKeyPairNameError
from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.wrapping import Function, wrap
from provisioning.emulator.elastic_inference import associations

if TYPE_CHECKING:
    from moto.core.responses import ActionResult
    from moto.ec2.models.instances import Reservation

_RUN = Anchor("moto.ec2.models.instances:InstanceBackend.run_instances", "3c2dfbe3c3c8d7e6")
_RESPOND = Anchor("moto.ec2.responses.instances:InstanceResponse.run_instances", "796ad1441f5800d3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What RunInstances is to launch, with the launch template filled in."""

    image_id: str
    instance_type: str
    key_name: str | None
    region: str
    zone: str | None

    def zones(self) -> tuple[str, ...]:
        """Return the region's zones that offer the instance type."""
        offerings = INSTANCE_TYPE_OFFERINGS["availability-zone"].get(self.region, [])
        return tuple(sorted(o["Location"] for o in offerings if o["InstanceType"] == self.instance_type))


def _refusing(original: Function) -> Function:
    def run_instances(self: Any, image_id: str, *arguments: Any, **options: Any) -> Reservation:
        launch = _launch(self, image_id, options)
        _check_image(self, launch)
        _check_type(launch)
        if launch.zone is None and options.get("placement") is None:
            # moto takes the first zone, EC2 takes one that has the type.
            options["placement"] = launch.zones()[0]
        return original(self, image_id, *arguments, **options)  # type: ignore[no-any-return]

    return run_instances


def _launch(backend: Any, image_id: str, options: dict[str, Any]) -> Launch:
    template: dict[str, Any] = {}
    if options.get("launch_template"):
        template = backend._get_template_from_args(options["launch_template"]).data
    # The template's metadata options are part of what it launches; moto forgets them.
    options["metadata_options"] = options.get("metadata_options") or template.get("MetadataOptions", {})
    chosen = None if options.get("is_instance_type_default") else options.get("instance_type")
    return Launch(
        image_id=image_id or template.get("ImageId", ""),
        instance_type=chosen or template.get("InstanceType") or options.get("instance_type", "m1.small"),
        key_name=options.get("key_name") or template.get("KeyName"),
        region=backend.region_name,
        zone=_zone(backend, options),
    )


def _zone(backend: Any, options: dict[str, Any]) -> str | None:
    subnets = [options.get("subnet_id"), *(nic.get("SubnetId") for nic in options.get("nics") or [])]
    for subnet_id in subnets:
        if subnet_id:
            return str(backend.get_subnet(subnet_id).availability_zone)
    placement = options.get("placement")
    return str(placement) if placement else None


def _check_image(backend: Any, launch: Launch) -> None:
    if not launch.image_id:
        raise EC2ClientError("MissingParameter", "The request must contain the parameter ImageId")
    image = backend.amis.get(launch.image_id)
    if image is None:
        raise InvalidAMIIdError(launch.image_id)
    supported = INSTANCE_TYPES.get(launch.instance_type, {}).get("ProcessorInfo", {})
    architectures = supported.get("SupportedArchitectures", [])
    if image.architecture and architectures and image.architecture not in architectures:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"The architecture '{','.join(architectures)}' of the specified instance type does not match"
            f" the architecture '{image.architecture}' of the specified AMI.",
        )
    if launch.key_name and launch.key_name not in backend.key_pairs:
        raise InvalidKeyPairNameError({launch.key_name})


def _check_type(launch: Launch) -> None:
    if launch.instance_type not in INSTANCE_TYPES:
        raise EC2ClientError(
            "InvalidParameterValue", f"Invalid value '{launch.instance_type}' for InstanceType."
        )
    zones = launch.zones()
    if not zones:
        raise EC2ClientError(
            "Unsupported",
            "The requested configuration is currently not supported."
            " Please check the documentation for supported configurations.",
        )
    if launch.zone is not None and launch.zone not in zones:
        raise EC2ClientError(
            "Unsupported",
            f"Your requested instance type ({launch.instance_type}) is not supported in your requested"
            f" Availability Zone ({launch.zone}). Please retry your request by not specifying an"
            f" Availability Zone or choosing {', '.join(zones)}.",
        )


def _keeping(original: Function) -> Function:
    def run_instances(self: Any) -> ActionResult:
        accelerators = self._get_param("ElasticInferenceAccelerators", [])
        protected = self._get_param("DisableApiTermination")
        wanted = associations(accelerators, self.region, self.current_account)
        result: ActionResult = original(self)
        reservation: Any = result.result
        for instance in reservation.instances:
            instance.disable_api_termination = str(protected).lower() == "true"
            # A new set for each: an accelerator belongs to one instance.
            instance.elastic_inference_accelerator_associations = wanted and associations(
                accelerators, self.region, self.current_account
            )
        return result

    return run_instances


CORRECTIONS = (
    Correction(
        name="launches-refused",
        statement="EC2 launches known images on known types, in zones that offer the type, and nothing else.",
        source="https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html",
        anchors=(_RUN,),
        install=wrap((_RUN, _refusing)),
    ),
    Correction(
        name="launch-options-kept",
        statement="Elastic Inference accelerators and termination protection asked for at launch are kept.",
        source="https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html",
        anchors=(_RESPOND,),
        install=wrap((_RESPOND, _keeping)),
    ),
)
