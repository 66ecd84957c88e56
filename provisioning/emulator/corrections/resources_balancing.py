"""Load balancers of a template: made as declared, refused as AWS refuses them, and really listening."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from moto.acm.models import acm_backends
from moto.core.exceptions import ServiceException
from moto.ec2.models import ec2_backends
from moto.elbv2.models import elbv2_backends

from provisioning.emulator import datacenter, listener
from provisioning.emulator.balancing import LOOPBACK, Check
from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.resource_handlers import Handler, Request, register
from provisioning.emulator.corrections.wrapping import wrap

if TYPE_CHECKING:
    from moto.elbv2.models import (
        ELBv2Backend,
        FakeListener,
        FakeLoadBalancer,
        FakeTargetGroup,
    )

    from provisioning.emulator.balancing import Balancing
    from provisioning.emulator.corrections.wrapping import Function

_ELB = "moto.elbv2.models:"
_BALANCER_ATTRIBUTES = Anchor(f"{_ELB}FakeLoadBalancer.get_cfn_attribute", "9582e4afa8ee9953")
_NAME_LIMIT = 32
IDLE_S = 60.0


class BalancingRefused(ServiceException):
    """Elastic Load Balancing refuses, with its own code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _backend(request: Request) -> ELBv2Backend:
    return elbv2_backends[request.account_id][request.region]


def balancing_here() -> Balancing | None:
    """Return the load balancers of this process, or None in one that serves no hosts."""
    center = datacenter.current()
    return None if center is None else center.balancing


def full_name(arn: str) -> str:
    """Return what metrics call a balancer ("app/name/id") or a target group ("targetgroup/name/id")."""
    return arn.rpartition(":")[2].removeprefix("loadbalancer/")


def _create_balancer(request: Request) -> FakeLoadBalancer:
    properties, subnets = request.properties, request.properties.get("Subnets", [])
    ec2 = ec2_backends[request.account_id][request.region]
    zones = [ec2.get_subnet(name).availability_zone for name in subnets]
    if len(subnets) < 2:
        raise BalancingRefused(
            "ValidationError", "At least two subnets in two different Availability Zones must be specified"
        )
    if len(set(zones)) < len(zones):
        raise BalancingRefused(
            "InvalidConfigurationRequest",
            "A load balancer cannot be attached to multiple subnets in the same Availability Zone",
        )
    balancer = _backend(request).create_load_balancer(
        request.name,
        properties.get("SecurityGroups", []),
        subnets,
        scheme=properties.get("Scheme", "internet-facing"),
        loadbalancer_type=properties.get("Type", "application"),
        ip_address_type=properties.get("IpAddressType", "ipv4"),
    )
    _set_balancer_attributes(balancer, request)
    # They keep subnets and security groups from being deleted before the balancer.
    for name in subnets:
        ec2.create_network_interface(
            ec2.get_subnet(name),
            private_ip_address="",
            group_ids=properties.get("SecurityGroups", []),
            description=f"ELB {full_name(balancer.arn)}",
        )
    balancing = balancing_here()
    if balancing is not None:
        # AWS's address has no port; here one machine has only the ports that are free.
        balancer.dns_name = f"{LOOPBACK}:{balancing.reserve(balancer.arn)}"
    return balancer


def _set_balancer_attributes(balancer: FakeLoadBalancer, request: Request) -> FakeLoadBalancer:
    attributes = request.properties.get("LoadBalancerAttributes", [])
    _backend(request).modify_load_balancer_attributes(
        balancer.arn, {each["Key"]: each["Value"] for each in attributes}
    )
    return balancer


def _delete_balancer(balancer: FakeLoadBalancer, request: Request) -> None:
    if balancer.attrs.get("deletion_protection.enabled") == "true":
        raise BalancingRefused(
            "OperationNotPermitted", f"Load balancer '{balancer.arn}' cannot be deleted because deletion "
            "protection is enabled",
        )  # fmt: skip
    _backend(request).delete_load_balancer(balancer.arn)
    ec2 = ec2_backends[request.account_id][request.region]
    for name, interface in list(ec2.enis.items()):
        if interface.description == f"ELB {full_name(balancer.arn)}":
            ec2.delete_network_interface(name)
    balancing = balancing_here()
    if balancing is not None:
        balancing.release(balancer.arn)


def _create_targets(request: Request) -> FakeTargetGroup:
    properties = request.properties
    group = _backend(request).create_target_group(
        name=request.name,
        vpc_id=properties.get("VpcId"),
        protocol=properties.get("Protocol"),
        port=properties.get("Port"),
        healthcheck_enabled=str(properties.get("HealthCheckEnabled", True)).lower(),
        healthcheck_protocol=properties.get("HealthCheckProtocol"),
        healthcheck_port=properties.get("HealthCheckPort"),
        healthcheck_path=properties.get("HealthCheckPath"),
        healthcheck_interval_seconds=properties.get("HealthCheckIntervalSeconds"),
        healthcheck_timeout_seconds=properties.get("HealthCheckTimeoutSeconds"),
        healthy_threshold_count=properties.get("HealthyThresholdCount"),
        unhealthy_threshold_count=properties.get("UnhealthyThresholdCount"),
        matcher=properties.get("Matcher"),
        target_type=properties.get("TargetType"),
    )
    attributes = {each["Key"]: each["Value"] for each in properties.get("TargetGroupAttributes", [])}
    _backend(request).modify_target_group_attributes(group.arn, attributes)
    answering: Any = group
    answering.get_cfn_attribute = partial(_attribute_of_targets, group)
    balancing = balancing_here()
    if balancing is not None:
        balancing.group(group.arn, _check(group))
    return group


def _check(group: FakeTargetGroup) -> Check:
    own = str(group.health_check_port)
    return Check(
        port=int(group.port),
        health_port=int(own if own.isdigit() else group.port),
        path=group.health_check_path or "/",
        interval_s=float(group.health_check_interval_seconds),
        timeout_s=float(group.health_check_timeout_seconds),
        healthy_after=int(group.healthy_threshold_count),
        unhealthy_after=int(group.unhealthy_threshold_count),
        drain_s=float(str(group.attributes["deregistration_delay.timeout_seconds"])),
    )


def _attribute_of_targets(group: FakeTargetGroup, name: str) -> Any:
    known = {
        "TargetGroupArn": group.arn,
        "TargetGroupFullName": full_name(group.arn),
        "TargetGroupName": group.name,
        "LoadBalancerArns": group.load_balancer_arns,
    }
    return known[name]


def _delete_targets(group: FakeTargetGroup, request: Request) -> None:
    _backend(request).delete_target_group(group.arn)
    balancing = balancing_here()
    if balancing is not None:
        balancing.forget(group.arn)


def _create_listener(request: Request) -> FakeListener:
    properties, backend = request.properties, _backend(request)
    certificate = next((each["CertificateArn"] for each in properties.get("Certificates", [])), None)
    if properties["Protocol"] == "HTTPS" and certificate is None:
        raise BalancingRefused("ValidationError", "A certificate must be specified for HTTPS listeners")
    made = backend.create_listener(
        properties["LoadBalancerArn"],
        properties["Protocol"],
        properties["Port"],
        properties.get("SslPolicy", ""),
        certificate,
        backend.convert_and_validate_properties(properties),
    )
    _listen(made, request)
    return made


def _listen(made: FakeListener, request: Request) -> None:
    """Let the balancer's port speak as the listener says, with the certificate's own key."""
    balancing = balancing_here()
    arn: str = next(action.data["TargetGroupArn"] for action in made.default_actions)
    group = None if balancing is None else balancing.group(arn)
    if balancing is None or group is None:
        return
    context = None
    if made.certificate is not None:
        bundle = acm_backends[request.account_id][request.region].get_certificate(made.certificate)
        context = listener.tls(bundle.cert, bundle.key)
    balancing.mute(made.load_balancer_arn)
    balancing.listen(
        made.load_balancer_arn, lambda listening: listener.serve(listening, group, IDLE_S, context)
    )


def _change_listener(made: FakeListener, request: Request) -> FakeListener:
    changed = type(made).update_from_cloudformation_json(
        made, request.name, request.declaration, request.account_id, request.region
    )
    _listen(changed, request)
    return changed


def _delete_listener(made: FakeListener, request: Request) -> None:
    _backend(request).delete_listener(made.arn)
    balancing = balancing_here()
    if balancing is not None:
        balancing.mute(made.load_balancer_arn)


def _tag(resource: Any, request: Request) -> None:
    tags = [{"Key": key, "Value": value} for key, value in request.tags.items()]
    _backend(request).tagging_service.tag_resource(resource.arn, tags)


def _install() -> None:
    balancers = Handler(
        create=_create_balancer, update=_set_balancer_attributes, delete=_delete_balancer, tag=_tag,
        name_property="Name", name_limit=_NAME_LIMIT,
    )  # fmt: skip
    targets = Handler(
        create=_create_targets, delete=_delete_targets, tag=_tag, name_property="Name", name_limit=_NAME_LIMIT
    )
    listeners = Handler(create=_create_listener, update=_change_listener, delete=_delete_listener, tag=_tag)
    register("AWS::ElasticLoadBalancingV2::LoadBalancer", balancers)
    register("AWS::ElasticLoadBalancingV2::TargetGroup", targets)
    register("AWS::ElasticLoadBalancingV2::Listener", listeners)
    wrap((_BALANCER_ATTRIBUTES, _with_full_name))()


def _with_full_name(original: Function) -> Function:
    def get_cfn_attribute(self: FakeLoadBalancer, attribute_name: str) -> Any:
        if attribute_name == "LoadBalancerFullName":
            return full_name(self.arn)
        return original(self, attribute_name)

    return get_cfn_attribute


_REFERENCE = "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/"

CORRECTIONS = (
    Correction(
        name="load-balancer-resources",
        statement=(
            "A load balancer stands in two zones with interfaces, needs a certificate for TLS, and is not "
            "deleted while it is protected; here its address is a port of the loopback, where it listens."
        ),
        source=_REFERENCE + "aws-resource-elasticloadbalancingv2-loadbalancer.html",
        anchors=(
            _BALANCER_ATTRIBUTES,
            Anchor(f"{_ELB}ELBv2Backend.create_load_balancer", "4a927b940ab60cd1"),
            Anchor(f"{_ELB}ELBv2Backend.create_target_group", "895ed55ff28a7ca5"),
            Anchor(f"{_ELB}ELBv2Backend.create_listener", "75542de48c0de701"),
            Anchor(f"{_ELB}ELBv2Backend.delete_target_group", "0ad9fb114585a19e"),
        ),
        install=_install,
    ),
)
