"""Corrections of AWS::EC2::Instance: its properties count, and its deletion is its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ec2.exceptions import OperationNotPermitted4
from moto.ec2.models import ec2_backends
from moto.ec2.utils import parse_user_data

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.wrapping import Function, instead, wrap
from provisioning.emulator.elastic_inference import associations

if TYPE_CHECKING:
    from moto.ec2.models.instances import Instance

_CREATE = Anchor("moto.ec2.models.instances:Instance.create_from_cloudformation_json", "40c7a6636376a781")
_DELETE = Anchor("moto.ec2.models.instances:Instance.delete_from_cloudformation_json", "c85470a479e5f9b7")
_OWN_DELETE = Anchor("moto.ec2.models.instances:Instance.delete", "e58281f62ff50341")


def _create(
    _cls: type[Instance],
    _resource_name: str,
    cloudformation_json: Any,
    account_id: str,
    region_name: str,
    **_kwargs: Any,
) -> Instance:
    properties = cloudformation_json["Properties"]
    backend: Any = ec2_backends[account_id][region_name]
    accelerators = associations(properties.get("ElasticInferenceAccelerators", []), region_name, account_id)
    (instance,) = launch_declared(backend, properties)
    instance.elastic_inference_accelerator_associations = accelerators  # type: ignore[attr-defined]
    return instance


def launch_declared(backend: Any, properties: dict[str, Any], count: int = 1) -> list[Instance]:
    """Launch what the properties of AWS::EC2::Instance say, so many times."""
    reservation = backend.run_instances(
        properties.get("ImageId"),
        count,
        parse_user_data(properties.get("UserData")),
        properties.get("SecurityGroups", []),
        **_options(backend, properties),
    )
    instances: list[Instance] = reservation.instances
    for instance in instances:
        if properties.get("IamInstanceProfile"):
            backend.associate_iam_instance_profile(
                instance_id=instance.id, iam_instance_profile_name=properties["IamInstanceProfile"]
            )
    return instances


def _options(backend: Any, properties: dict[str, Any]) -> dict[str, Any]:
    """Return moto's keyword arguments of a launch for the resource's properties."""
    tags = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
    propagated = str(properties.get("PropagateTagsToVolumeOnCreation", False)).lower() == "true"
    options = {
        "instance_type": properties.get("InstanceType", "m1.small"),
        "is_instance_type_default": not properties.get("InstanceType"),
        "region_name": backend.region_name,
        "placement": properties.get("AvailabilityZone"),
        "subnet_id": properties.get("SubnetId"),
        "key_name": properties.get("KeyName"),
        "private_ip": properties.get("PrivateIpAddress"),
        "security_group_ids": _security_groups(properties),
        "nics": [_interface(each) for each in properties.get("NetworkInterfaces", [])],
        "ebs_optimized": properties.get("EbsOptimized", False),
        "disable_api_termination": str(properties.get("DisableApiTermination", False)).lower() == "true",
        "instance_initiated_shutdown_behavior": properties.get("InstanceInitiatedShutdownBehavior"),
        "metadata_options": properties.get("MetadataOptions", {}),
        "launch_template": properties.get("LaunchTemplate", {}),
        "tags": {"instance": tags, "volume": tags if propagated else {}},
    }
    mappings = _block_devices(backend, properties)
    return options | ({"block_device_mappings": mappings} if mappings else {})


def _security_groups(properties: dict[str, Any]) -> list[str]:
    """Return the groups of the instance: its own, or those of its primary interface."""
    primary = [each for each in properties.get("NetworkInterfaces", []) if int(each["DeviceIndex"]) == 0]
    of_primary = primary[0].get("GroupSet", []) if primary else []
    return [*properties.get("SecurityGroupIds", []), *of_primary]


def _interface(declared: dict[str, Any]) -> dict[str, Any]:
    # moto adds the instance's groups to the primary interface; naming them twice would list them twice.
    is_primary = int(declared["DeviceIndex"]) == 0
    groups = [] if is_primary else declared.get("GroupSet", [])
    flags = {
        name: str(declared[name]).lower() == "true"
        for name in ("AssociatePublicIpAddress", "DeleteOnTermination")
        if name in declared
    }
    return (
        {name: value for name, value in declared.items() if name != "GroupSet"} | flags | {"Groups": groups}
    )


def _block_devices(backend: Any, properties: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the mappings; the root volume ends with its instance unless the template says otherwise."""
    image = backend.amis.get(properties.get("ImageId"))
    root = image.root_device_name if image is not None else None
    mappings = []
    for declared in properties.get("BlockDeviceMappings", []):
        volume = dict(declared.get("Ebs", {}))
        kept = volume.get("DeleteOnTermination", declared["DeviceName"] == root)
        volume["DeleteOnTermination"] = str(kept).lower() == "true"
        mappings.append({**declared, "Ebs": volume})
    return mappings


def _delete(
    _cls: type[Instance], resource_name: str, _cloudformation_json: Any, account_id: str, region_name: str
) -> None:
    backend: Any = ec2_backends[account_id][region_name]
    backend.get_instance(resource_name).delete(account_id, region_name)


def _protected(original: Function) -> Function:
    def delete(self: Instance, account_id: str, region: str) -> None:
        if self.disable_api_termination:
            raise OperationNotPermitted4(self.id)
        original(self, account_id, region)

    return delete


_REFERENCE = (
    "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ec2-instance.html"
)

CORRECTIONS = (
    Correction(
        name="instance-properties-count",
        statement="An instance has the groups, metadata options and accelerators that its template names.",
        source=_REFERENCE,
        anchors=(_CREATE,),
        install=wrap((_CREATE, instead(_create))),
    ),
    Correction(
        name="instance-deletion-is-its-own",
        statement="Deleting a stack ends that stack's instances only, and none that is protected.",
        source=_REFERENCE,
        anchors=(_DELETE, _OWN_DELETE),
        install=wrap((_DELETE, instead(_delete)), (_OWN_DELETE, _protected)),
    ),
)
