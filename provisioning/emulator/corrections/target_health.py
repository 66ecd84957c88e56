"""What load balancers send to: hosts that groups register, health that is asked, and scaling policies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.autoscaling.models import autoscaling_backends

from provisioning.emulator import datacenter
from provisioning.emulator.balancing import INITIAL
from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.resource_handlers import Handler, Made, Request, register
from provisioning.emulator.corrections.resources_balancing import balancing_here
from provisioning.emulator.corrections.wrapping import instead, wrap

if TYPE_CHECKING:
    from moto.elbv2.models import FakeHealthStatus, FakeTargetGroup

    from provisioning.emulator.corrections.wrapping import Function

_ELB = "moto.elbv2.models:"
_HEALTH = Anchor(f"{_ELB}FakeTargetGroup.health_for", "ac1e7bb85500e264")
_ATTACHED = Anchor(
    "moto.autoscaling.models:AutoScalingBackend.update_attached_target_groups", "0e6bc121f5d1f6c5"
)
_PUT_POLICY = Anchor("moto.autoscaling.models:AutoScalingBackend.put_scaling_policy", "dee623fe3f715396")


def _with_real_health(original: Function) -> Function:
    def health_for(self: FakeTargetGroup, target: dict[str, Any], ec2_backend: Any) -> FakeHealthStatus:
        status: FakeHealthStatus = original(self, target, ec2_backend)
        balancing = balancing_here()
        group = None if balancing is None else balancing.group(self.arn)
        if group is not None and target["Id"] in self.targets:
            known = group.targets.get(target["Id"])
            status.status = INITIAL if known is None else known.state
        return status

    return health_for


def registered() -> dict[str, dict[str, str]]:
    """Return the addresses of all hosts behind balancers, by target group and instance id.

    A group's hosts are registered as they come, and no more when they are gone.
    """
    center = datacenter.current()
    found: dict[str, dict[str, str]] = {}
    for regions in list(autoscaling_backends.values()):
        for backend in list(regions.values()):
            for group in list(backend.autoscaling_groups.values()):
                names = [state.instance.id for state in list(group.instance_states)]
                hosts = [center.hypervisor.find(name) for name in names] if center is not None else []
                for arn in group.target_group_arns or []:
                    found.setdefault(arn, {}).update(
                        {host.instance_id: host.address for host in hosts if host is not None}
                    )
                    _keep(backend.elbv2_backend.target_groups.get(arn), found[arn])
    return found


def _keep(group: FakeTargetGroup | None, addresses: dict[str, str]) -> None:
    if group is None:
        return
    for name in list(group.targets):
        if name not in addresses:
            del group.targets[name]
    for name in addresses:
        group.targets.setdefault(name, {"Id": name, "Port": group.port})


def _put_policy(request: Request) -> Made:
    properties = request.properties
    policy = autoscaling_backends[request.account_id][request.region].put_scaling_policy(
        name=request.name,
        policy_type=properties.get("PolicyType", "SimpleScaling"),
        metric_aggregation_type=properties.get("MetricAggregationType", ""),
        adjustment_type=properties.get("AdjustmentType", ""),
        as_name=properties["AutoScalingGroupName"],
        min_adjustment_magnitude=properties.get("MinAdjustmentMagnitude", ""),
        scaling_adjustment=properties.get("ScalingAdjustment"),
        cooldown=properties.get("Cooldown"),
        target_tracking_config=properties.get("TargetTrackingConfiguration", {}),
        step_adjustments=properties.get("StepAdjustments", ""),
        estimated_instance_warmup=properties.get("EstimatedInstanceWarmup", ""),
        predictive_scaling_configuration=properties.get("PredictiveScalingConfiguration", ""),
    )
    return Made(physical_resource_id=policy.arn, attributes={"Arn": policy.arn, "PolicyName": request.name})


def _change_policy(policy: Made, request: Request) -> Made:
    _put_policy(request)
    return policy


def _delete_policy(policy: Made, request: Request) -> None:
    name = policy.attributes["PolicyName"]
    autoscaling_backends[request.account_id][request.region].delete_policy(name)


def _untagged(_resource: Any, _request: Request) -> None:
    """A policy has no tags."""


_REFERENCE = "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/"
_GUIDE = "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/"

CORRECTIONS = (
    Correction(
        name="target-health-is-asked",
        statement="A target is healthy when its health check says so, and only then gets requests.",
        source=_GUIDE + "target-group-health-checks.html",
        anchors=(_HEALTH, _ATTACHED),
        install=wrap((_HEALTH, _with_real_health), (_ATTACHED, instead(lambda _self, _name: None))),
    ),
    Correction(
        name="scaling-policy-resource",
        statement=(
            "CloudFormation makes, changes and deletes scaling policies; they follow metrics, and none is "
            "emulated."
        ),
        source=_REFERENCE + "aws-resource-autoscaling-scalingpolicy.html",
        anchors=(_PUT_POLICY,),
        install=lambda: register(
            "AWS::AutoScaling::ScalingPolicy",
            Handler(create=_put_policy, update=_change_policy, delete=_delete_policy, tag=_untagged),
        ),
    ),
)
