"""Auto Scaling groups: their instances are what the launch template says, and run as hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.autoscaling.models import ASG_NAME_TAG, InstanceState, autoscaling_backends
from moto.ec2.utils import convert_tag_spec

from provisioning.emulator import datacenter
from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.ec2_template_instance import launch_declared
from provisioning.emulator.corrections.resource_handlers import Handler, Made, Request, amend, register
from provisioning.emulator.corrections.wrapping import instead, wrap

if TYPE_CHECKING:
    from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup

    from provisioning.emulator.corrections.wrapping import Function

_MODELS = "moto.autoscaling.models:"
_LAUNCH = Anchor(_MODELS + "FakeAutoScalingGroup.replace_autoscaling_group_instances", "2a9e67d22058d93f")
_UPDATE = Anchor(_MODELS + "FakeAutoScalingGroup.update", "94661b59532bc567")
_FROM_TEMPLATE = Anchor(_MODELS + "FakeAutoScalingGroup.update_from_cloudformation_json", "075b55f61e2f2e33")
_END_ONE = Anchor(_MODELS + "AutoScalingBackend.terminate_instance", "decdb0e3e649adf9")
_PUT_ACTION = Anchor(_MODELS + "AutoScalingBackend.put_scheduled_update_group_action", "4d6aea7be42c4e1d")
_DELETE_ACTION = Anchor(_MODELS + "AutoScalingBackend.delete_scheduled_action", "9412649407438de0")

_SIZES = {"desired_capacity": "DesiredCapacity", "max_size": "MaxSize", "min_size": "MinSize"}
_HEALTH = {"health_check_period": "HealthCheckGracePeriod", "health_check_type": "HealthCheckType"}


def _backend(request: Request) -> AutoScalingBackend:
    return autoscaling_backends[request.account_id][request.region]


def _launch(self: FakeAutoScalingGroup, count_needed: int, propagated_tags: dict[str, str]) -> None:
    """Launch the missing instances in turn over the group's subnets, as EC2 would for each request."""
    tags = {**self.instance_tags, **propagated_tags, ASG_NAME_TAG: self.name}
    subnets: list[str | None] = [*(self.vpc_zone_identifier or "").split(",")]
    for number in range(count_needed):
        properties = _instance_properties(self, subnets[number % len(subnets)] or None, tags)
        for instance in launch_declared(self.autoscaling_backend.ec2_backend, properties):
            _tag_what_came_along(self, instance)
            instance.autoscaling_group = self  # type: ignore[attr-defined]
            instance.launched_version = str(self.launch_template_version)  # type: ignore[attr-defined]
            protected = self.new_instances_protected_from_scale_in
            self.instance_states.append(InstanceState(instance, protected_from_scale_in=protected))


def _draining_first(original: Function) -> Function:
    def terminate_instance(self: AutoScalingBackend, instance_id: str, should_decrement: bool) -> Any:
        center = datacenter.current()
        if center is not None:
            center.balancing.drain(instance_id)
        return original(self, instance_id, should_decrement)

    return terminate_instance


def _template_data(group: FakeAutoScalingGroup) -> dict[str, Any]:
    template = group.ec2_launch_template
    return {} if template is None else template.get_version(group.launch_template_version).data


def _instance_properties(
    group: FakeAutoScalingGroup, subnet_id: str | None, tags: dict[str, str]
) -> dict[str, Any]:
    """Return a launch template's data in the shape of AWS::EC2::Instance."""
    data = dict(_template_data(group))
    if data.get("UserData") is not None:
        data["UserData"] = str(data["UserData"])  # read at the template's making, read again at the launch
    profile = data.pop("IamInstanceProfile", None) or {}
    interfaces = [
        {**{key: value for key, value in each.items() if key != "Groups"}, "GroupSet": each.get("Groups", [])}
        | ({"SubnetId": subnet_id} if subnet_id else {})
        for each in data.pop("NetworkInterfaces", [])
    ]
    placed: dict[str, Any] = {"NetworkInterfaces": interfaces} if interfaces else {"SubnetId": subnet_id}
    if subnet_id is None:
        placed["AvailabilityZone"] = group.availability_zones[0]
    return {
        **data,
        **placed,
        "IamInstanceProfile": profile.get("Name") or profile.get("Arn", "").rpartition("/")[2] or None,
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }


def _tag_what_came_along(group: FakeAutoScalingGroup, instance: Any) -> None:
    wanted = convert_tag_spec(_template_data(group).get("TagSpecifications", []), tag_key="Tags")
    volumes = (device.volume_id for _, device in instance.get_block_device_mapping)
    for volume in group.autoscaling_backend.ec2_backend.describe_volumes(volume_ids=list(volumes)):
        volume.add_tags(wanted.get("volume", {}))
    for interface in instance.nics.values():
        interface.add_tags(wanted.get("network-interface", {}))


def _change_group(group: FakeAutoScalingGroup, request: Request) -> FakeAutoScalingGroup:
    """Change the group in place: instances that run go on, new ones are launched from the new version."""
    properties = request.properties
    group.tags = [dict(tag) for tag in properties.get("Tags", [])]
    changes: dict[str, Any] = {
        name: int(properties[key]) if key in properties else None for name, key in _SIZES.items()
    }
    group.target_group_arns = list(properties.get("TargetGroupARNs", []))
    group.update(
        availability_zones=properties.get("AvailabilityZones", []),
        launch_config_name=properties.get("LaunchConfigurationName", ""),
        launch_template=properties.get("LaunchTemplate", {}),
        vpc_zone_identifier=",".join(properties.get("VPCZoneIdentifier", [])),
        **changes | {name: properties.get(key) for name, key in _HEALTH.items()},
    )
    return group


def _schedule(request: Request) -> Made:
    properties = request.properties
    _put_action(request.name, request)
    return Made(
        physical_resource_id=request.name, attributes={"ScheduledActionName": request.name} | properties
    )


def _put_action(name: str, request: Request) -> None:
    properties = request.properties
    _backend(request).put_scheduled_update_group_action(
        name=properties["AutoScalingGroupName"],
        desired_capacity=properties.get("DesiredCapacity"),
        max_size=properties.get("MaxSize"),
        min_size=properties.get("MinSize"),
        scheduled_action_name=name,
        start_time=properties.get("StartTime"),
        end_time=properties.get("EndTime"),
        recurrence=properties.get("Recurrence"),
        timezone=properties.get("TimeZone"),
    )


def _reschedule(action: Made, request: Request) -> Made:
    _put_action(action.physical_resource_id, request)
    return action


def _unschedule(action: Made, request: Request) -> None:
    group = request.properties["AutoScalingGroupName"]
    _backend(request).delete_scheduled_action(group, action.physical_resource_id)


def _install_groups() -> None:
    wrap((_LAUNCH, instead(_launch)))()
    amend("AWS::AutoScaling::AutoScalingGroup", update=_change_group)


def _install_actions() -> None:
    register(
        "AWS::AutoScaling::ScheduledAction",
        Handler(create=_schedule, update=_reschedule, delete=_unschedule, tag=_untagged),
    )


def _untagged(_action: Made, _request: Request) -> None:
    """A scheduled action carries no tags."""


_REFERENCE = "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/"

CORRECTIONS = (
    Correction(
        name="group-instances",
        statement=(
            "A group launches what its launch template says, in its subnets, and a change of the group "
            "leaves running instances as they are."
        ),
        source=_REFERENCE + "aws-resource-autoscaling-autoscalinggroup.html",
        anchors=(_LAUNCH, _UPDATE, _FROM_TEMPLATE),
        install=_install_groups,
    ),
    Correction(
        name="group-drains-first",
        statement="A host that a group ends leaves its load balancer first, and finishes what it has.",
        source="https://docs.aws.amazon.com/autoscaling/ec2/userguide/attach-load-balancer-asg.html",
        anchors=(_END_ONE,),
        install=wrap((_END_ONE, _draining_first)),
    ),
    Correction(
        name="scheduled-action-resource",
        statement="A scheduled action of a template is one of its group, and is deleted with its resource.",
        source=_REFERENCE + "aws-resource-autoscaling-scheduledaction.html",
        anchors=(_PUT_ACTION, _DELETE_ACTION),
        install=_install_actions,
    ),
)
