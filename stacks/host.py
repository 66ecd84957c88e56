"""A machine of its own: one EC2 instance (several are a group, see `fleet`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_cdk import Fn
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aws_cdk import CfnResource

    from stacks.spec import HostSpec

ACCELERATOR_TAG = "amazonei:accelerator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a host is put, and with what: the values that only the template's parameters know."""

    image_id: str
    root_device: str
    subnet_id: str
    group_subnets: tuple[str, ...]
    security_group_id: str
    instance_profile: str
    key_name: str | None
    tags: Mapping[str, str]


class Hosts(Construct):
    """The hosts of one accelerator: private, encrypted, IMDSv2 only, and gone once they shut down."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        spec: HostSpec,
        placement: Placement,
        boot: str,
    ) -> None:
        super().__init__(scope, construct_id)
        self._spec = spec
        self._placement = placement
        self._boot = Fn.base64(boot)
        self._instances = [self._instance(number) for number in range(1, spec.count + 1)]
        self.instance_ids = tuple(instance.ref for instance in self._instances)

    def start_after(self, resources: Sequence[CfnResource]) -> None:
        """Create no host before these, so that what it needs at its first boot is there."""
        for instance in self._instances:
            for resource in resources:
                instance.add_resource_dependency(resource)

    def _instance(self, number: int) -> ec2.CfnInstance:
        placement = self._placement
        return ec2.CfnInstance(
            self,
            f"Instance{number}",
            image_id=placement.image_id,
            instance_type=self._spec.instance_type,
            key_name=placement.key_name,
            iam_instance_profile=placement.instance_profile,
            user_data=self._boot,
            network_interfaces=[_private_interface(placement)],
            block_device_mappings=[_root_volume(placement.root_device, self._spec.volume_gib)],
            elastic_inference_accelerators=_accelerators(self._spec),
            metadata_options=ec2.CfnInstance.MetadataOptionsProperty(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            instance_initiated_shutdown_behavior="terminate",
            monitoring=True,
            propagate_tags_to_volume_on_creation=True,
        )


def root_device(image_parameter: str) -> str:
    """Return the name of an image's root device, as its operating system has it.

    Encryption and DeleteOnTermination are said of a device by name; a wrong name would add a second
    disk and leave the root as the image has it.
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/device_naming.html
    """
    return "/dev/sda1" if "ubuntu" in image_parameter else "/dev/xvda"


def _private_interface(placement: Placement) -> ec2.CfnInstance.NetworkInterfaceProperty:
    # Only an interface can refuse a public address in a subnet that hands them out.
    return ec2.CfnInstance.NetworkInterfaceProperty(
        device_index="0",
        subnet_id=placement.subnet_id,
        group_set=[placement.security_group_id],
        associate_public_ip_address=False,
        delete_on_termination=True,
    )


def _root_volume(device: str, gib: int) -> ec2.CfnInstance.BlockDeviceMappingProperty:
    return ec2.CfnInstance.BlockDeviceMappingProperty(
        device_name=device,
        ebs=ec2.CfnInstance.EbsProperty(
            volume_type="gp3", volume_size=gib, encrypted=True, delete_on_termination=True
        ),
    )


def _accelerators(spec: HostSpec) -> list[ec2.CfnInstance.ElasticInferenceAcceleratorProperty] | None:
    if spec.elastic_inference is None:
        return None
    return [ec2.CfnInstance.ElasticInferenceAcceleratorProperty(type=spec.elastic_inference, count=1)]
