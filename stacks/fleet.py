"""Several hosts of one accelerator: one launch template, and a group of the size that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import CfnTag, Fn
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aws_cdk import CfnResource

    from stacks.host import Placement
    from stacks.load_balancer import Front
    from stacks.spec import HostSpec

Launch = ec2.CfnLaunchTemplate
BOOT_GRACE_S = 300
# The group tags its instances; what a launch makes besides them gets its tags from the launch template.
LAUNCHED = ("volume", "network-interface")


class HostGroup(Construct):
    """An Auto Scaling group that ends with the deployment, and grows only where a balancer says how far.

    A group replaces a host that powers itself off, so the hosts' own timers cannot end it: a scheduled
    action takes its size to nothing at the expiry.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        spec: HostSpec,
        placement: Placement,
        boot: str,
        front: Front | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._spec = spec
        self._placement = placement
        self._front = front
        template = self._launch_template(boot)
        self._group = self._group_of(template)
        self.name = self._group.ref
        if front is not None:
            self._grow_with(front)

    def start_after(self, resources: Sequence[CfnResource]) -> None:
        """Launch no host before these, so that what it needs at its first boot is there."""
        for resource in resources:
            self._group.add_resource_dependency(resource)

    def end_at(self, time: str) -> None:
        """Take the group's size to nothing at a time, in ISO 8601."""
        autoscaling.CfnScheduledAction(
            self,
            "Expiry",
            auto_scaling_group_name=self.name,
            start_time=time,
            min_size=0,
            max_size=0,
            desired_capacity=0,
        )

    def _grow_with(self, front: Front) -> None:
        """Add and remove hosts so that each answers about as many requests as was asked for.

        Requests are what every accelerator has: the metrics of processors see none but the CPU.
        """
        balancer = self._spec.balancer
        if balancer is None or balancer.requests_per_minute is None:
            return
        tracking = autoscaling.CfnScalingPolicy.TargetTrackingConfigurationProperty(
            predefined_metric_specification=autoscaling.CfnScalingPolicy.PredefinedMetricSpecificationProperty(
                predefined_metric_type="ALBRequestCountPerTarget", resource_label=front.resource_label
            ),
            target_value=balancer.requests_per_minute,
        )
        policy = autoscaling.CfnScalingPolicy(
            self,
            "Tracking",
            auto_scaling_group_name=self.name,
            policy_type="TargetTrackingScaling",
            # A host counts once it has booted and serves: before that it would only lower the average.
            estimated_instance_warmup=BOOT_GRACE_S,
            target_tracking_configuration=tracking,
        )
        # The metric is of target groups that a balancer sends to.
        policy.add_resource_dependency(front.listener)

    def _launch_template(self, boot: str) -> Launch:
        placement, spec = self._placement, self._spec
        groups = [placement.security_group_id, *([self._front.hosts_group] if self._front else [])]
        data = Launch.LaunchTemplateDataProperty(
            image_id=placement.image_id,
            instance_type=spec.instance_type,
            key_name=placement.key_name,
            iam_instance_profile=Launch.IamInstanceProfileProperty(name=placement.instance_profile),
            user_data=Fn.base64(boot),
            network_interfaces=[_private_interface(groups)],
            block_device_mappings=[_root_volume(placement.root_device, spec.volume_gib)],
            metadata_options=Launch.MetadataOptionsProperty(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            monitoring=Launch.MonitoringProperty(enabled=True),
            instance_initiated_shutdown_behavior="terminate",
            instance_market_options=_market(spec),
            capacity_reservation_specification=_reservation(spec),
            tag_specifications=_tag_specifications(placement.tags),
        )
        return Launch(
            self,
            "Template",
            launch_template_data=data,
            tag_specifications=[
                Launch.LaunchTemplateTagSpecificationProperty(
                    resource_type="launch-template", tags=_tags(placement.tags)
                )
            ],
        )

    def _group_of(self, template: Launch) -> autoscaling.CfnAutoScalingGroup:
        spec, size = self._spec, str(self._spec.count)
        most = None if spec.balancer is None else spec.balancer.max_count
        return autoscaling.CfnAutoScalingGroup(
            self,
            "Group",
            min_size=size,
            max_size=size if most is None else str(most),
            # A group that has grown is not to shrink because its template is changed.
            desired_capacity=size if most is None else None,
            vpc_zone_identifier=list(self._placement.group_subnets),
            launch_template=autoscaling.CfnAutoScalingGroup.LaunchTemplateSpecificationProperty(
                launch_template_id=template.ref, version=template.attr_latest_version_number
            ),
            target_group_arns=[self._front.target_group] if self._front else None,
            cooldown=str(BOOT_GRACE_S),
            # Not the balancer's: a host that nobody has shipped to answers none, and would be replaced
            # for ever.
            health_check_type="EC2",
            health_check_grace_period=BOOT_GRACE_S,
        )


def _private_interface(security_groups: list[str]) -> Launch.NetworkInterfaceProperty:
    # Only an interface can refuse a public address in a subnet that hands them out.
    return Launch.NetworkInterfaceProperty(
        device_index=0,
        groups=security_groups,
        associate_public_ip_address=False,
        delete_on_termination=True,
    )


def _root_volume(device: str, gib: int) -> Launch.BlockDeviceMappingProperty:
    return Launch.BlockDeviceMappingProperty(
        device_name=device,
        ebs=Launch.EbsProperty(
            volume_type="gp3", volume_size=gib, encrypted=True, delete_on_termination=True
        ),
    )


def _market(spec: HostSpec) -> Launch.InstanceMarketOptionsProperty | None:
    if not spec.spot:
        return None
    options = Launch.SpotOptionsProperty(
        spot_instance_type="one-time", instance_interruption_behavior="terminate"
    )
    return Launch.InstanceMarketOptionsProperty(market_type="spot", spot_options=options)


def _reservation(spec: HostSpec) -> Launch.CapacityReservationSpecificationProperty | None:
    if spec.capacity_reservation is None:
        return None
    target = Launch.CapacityReservationTargetProperty(capacity_reservation_id=spec.capacity_reservation)
    return Launch.CapacityReservationSpecificationProperty(capacity_reservation_target=target)


def _tag_specifications(tags: Mapping[str, str]) -> list[Launch.TagSpecificationProperty]:
    return [Launch.TagSpecificationProperty(resource_type=kind, tags=_tags(tags)) for kind in LAUNCHED]


def _tags(tags: Mapping[str, str]) -> list[CfnTag]:
    return [CfnTag(key=key, value=value) for key, value in sorted(tags.items())]
