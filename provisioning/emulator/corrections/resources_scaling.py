"""Application Auto Scaling's resources in a template, and keys: targets, their policies, and KMS keys."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from moto.applicationautoscaling.models import applicationautoscaling_backends
from moto.kms.models import kms_backends

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.resource_handlers import Handler, Made, Request, amend, register

if TYPE_CHECKING:
    from moto.applicationautoscaling.models import ApplicationAutoscalingBackend
    from moto.kms.models import Key

_PENDING_DAYS = 30  # what CloudFormation asks KMS for where the template says nothing


def _backend(request: Request) -> ApplicationAutoscalingBackend:
    return applicationautoscaling_backends[request.account_id][request.region]


def _register(request: Request) -> Made:
    properties = request.properties
    _backend(request).register_scalable_target(
        namespace=properties["ServiceNamespace"],
        r_id=properties["ResourceId"],
        dimension=properties["ScalableDimension"],
        min_capacity=int(properties["MinCapacity"]),
        max_capacity=int(properties["MaxCapacity"]),
        role_arn=properties.get("RoleARN", ""),
        suspended_state=properties.get("SuspendedState", ""),
    )
    parts = ("ResourceId", "ScalableDimension", "ServiceNamespace")
    identifier = "|".join(str(properties[part]) for part in parts)
    return Made(physical_resource_id=identifier, attributes={"Id": identifier})


def _register_again(target: Made, request: Request) -> Made:
    _register(request)
    return target


def _deregister(_target: Made, request: Request) -> None:
    properties = request.properties
    _backend(request).deregister_scalable_target(
        properties["ServiceNamespace"], properties["ResourceId"], properties["ScalableDimension"]
    )


def _target_of(request: Request) -> tuple[str, str, str]:
    """Return namespace, resource and dimension; a policy may name its target instead of them."""
    properties = request.properties
    if "ScalingTargetId" in properties:
        resource, dimension, namespace = properties["ScalingTargetId"].split("|")
        return namespace, resource, dimension
    return properties["ServiceNamespace"], properties["ResourceId"], properties["ScalableDimension"]


def _put_policy(request: Request) -> Made:
    properties = request.properties
    namespace, resource, dimension = _target_of(request)
    policy = _backend(request).put_scaling_policy(
        policy_name=properties["PolicyName"],
        service_namespace=namespace,
        resource_id=resource,
        scalable_dimension=dimension,
        policy_body=properties.get("TargetTrackingScalingPolicyConfiguration")
        or properties["StepScalingPolicyConfiguration"],
        policy_type=properties["PolicyType"],
    )
    return Made(physical_resource_id=policy.policy_arn, attributes={"Arn": policy.policy_arn})


def _change_policy(policy: Made, request: Request) -> Made:
    _put_policy(request)
    return policy


def _delete_policy(_policy: Made, request: Request) -> None:
    namespace, resource, dimension = _target_of(request)
    _backend(request).delete_scaling_policy(request.properties["PolicyName"], namespace, resource, dimension)


def _untagged(_resource: Any, _request: Request) -> None:
    """Neither targets nor policies show their tags to anybody but a call of their own."""


def _install_scaling() -> None:
    register(
        "AWS::ApplicationAutoScaling::ScalableTarget",
        Handler(create=_register, update=_register_again, delete=_deregister, tag=_untagged),
    )
    register(
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        Handler(create=_put_policy, update=_change_policy, delete=_delete_policy, tag=_untagged),
    )


def _create_key(request: Request) -> Key:
    properties = request.properties
    key = kms_backends[request.account_id][request.region].create_key(
        policy=_policy(request),
        key_usage=properties.get("KeyUsage", "ENCRYPT_DECRYPT"),
        key_spec=properties.get("KeySpec", "SYMMETRIC_DEFAULT"),
        description=properties.get("Description", ""),
        tags=None,
    )
    key.key_rotation_status = properties.get("EnableKeyRotation", False)
    return key


def _policy(request: Request) -> str:
    """Return the policy as the API takes it; a template may write an object."""
    policy = request.properties.get("KeyPolicy", "")
    return policy if isinstance(policy, str) else json.dumps(policy)


def _change_key(key: Key, request: Request) -> Key:
    properties = request.properties
    backend = kms_backends[request.account_id][request.region]
    backend.put_key_policy(key.id, _policy(request))
    backend.update_key_description(key.id, properties.get("Description", ""))
    return key


def _delete_key(key: Key, request: Request) -> None:
    days = int(request.properties.get("PendingWindowInDays", _PENDING_DAYS))
    kms_backends[request.account_id][request.region].schedule_key_deletion(key.id, days)


def _tag_key(key: Key, request: Request) -> None:
    kms_backends[request.account_id][request.region].tag_resource(key.id, request.tags)


def _install_keys() -> None:
    amend("AWS::KMS::Key", create=_create_key, update=_change_key, delete=_delete_key, tag=_tag_key)


_REFERENCE = "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/"
_SCALING = "moto.applicationautoscaling.models:ApplicationAutoscalingBackend"
_KMS = "moto.kms.models:KmsBackend"

CORRECTIONS = (
    Correction(
        name="scalable-target-resources",
        statement="CloudFormation registers and deregisters scalable targets, and their scaling policies.",
        source=_REFERENCE + "aws-resource-applicationautoscaling-scalabletarget.html",
        anchors=(
            Anchor(f"{_SCALING}.register_scalable_target", "e3b0aa41ee88bc1c"),
            Anchor(f"{_SCALING}.deregister_scalable_target", "790c5101b8c1bf2f"),
            Anchor(f"{_SCALING}.put_scaling_policy", "daa3e75611173437"),
            Anchor(f"{_SCALING}.delete_scaling_policy", "7317fb093a226b3c"),
        ),
        install=_install_scaling,
    ),
    Correction(
        name="key-resource",
        statement=(
            "A template may write a key's policy as an object, and deleting the resource schedules the key's "
            "deletion; until then the key is pending."
        ),
        source=_REFERENCE + "aws-resource-kms-key.html",
        anchors=(
            Anchor(f"{_KMS}.create_key", "97a36fc0cde93541"),
            Anchor(f"{_KMS}.schedule_key_deletion", "251694d02041b09c"),
            Anchor(f"{_KMS}.put_key_policy", "c400f7cc516e9834"),
            Anchor(f"{_KMS}.tag_resource", "3b024fd273cd4e34"),
        ),
        install=_install_keys,
    ),
)
