"""Corrections of VPC endpoints: services exist or not, names do not clash, and deleted is deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ec2.exceptions import EC2ClientError, InvalidServiceName
from moto.ec2.utils import random_private_ip

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.wrapping import Function, wrap

if TYPE_CHECKING:
    from collections.abc import Iterable

    from moto.ec2.models import EC2Backend
    from moto.ec2.models.vpcs import VPCEndPoint

_BACKEND = "moto.ec2.models.vpcs:VPCBackend"
_CREATE = Anchor(f"{_BACKEND}.create_vpc_endpoint", "de14467a689d3932")
_MODIFY = Anchor("moto.ec2.responses.vpcs:VPCs.modify_vpc_endpoint", "6da3075c9aeb81d7")
_DELETE = Anchor(f"{_BACKEND}.delete_vpc_endpoints", "d0b02f0633ae22a1")
_MODEL = Anchor("moto.ec2.models.vpcs:VPCEndPoint.modify", "61b7dea7b8571d57")
_FILTER = Anchor(f"{_BACKEND}._filter_endpoint_services", "9a04628474de9455")
_SERVICES = Anchor(f"{_BACKEND}._collect_default_endpoint_services", "707417f61308f3c7")


class PrivateDnsConflict(EC2ClientError):
    """The VPC cannot give the service's own name to this endpoint."""

    def __init__(self, message: str) -> None:
        super().__init__("InvalidParameter", message)


class DuplicateSubnetsInSameZone(EC2ClientError):
    """An endpoint has one interface in a zone."""

    def __init__(self, subnet_id: str) -> None:
        super().__init__(
            "DuplicateSubnetsInSameZone",
            f"Found another VPC endpoint subnet in the availability zone of {subnet_id}",
        )


def _creating(original: Function) -> Function:
    def create_vpc_endpoint(
        self: EC2Backend,
        vpc_id: str,
        service_name: str,
        endpoint_type: str | None,
        *args: Any,
        **options: Any,
    ) -> VPCEndPoint:
        kind = endpoint_type or "Gateway"
        _check_service(self, service_name, kind)
        _check_zones(self, [], options.get("subnet_ids") or [])
        if kind == "Interface" and str(options.get("private_dns_enabled")).lower() == "true":
            _check_private_dns(self, vpc_id, service_name)
        endpoint: VPCEndPoint = original(self, vpc_id, service_name, kind, *args, **options)
        _mark_interfaces(self, endpoint)
        return endpoint

    return create_vpc_endpoint


def _check_zones(backend: EC2Backend, there: list[str], added: list[str]) -> None:
    zones = {backend.get_subnet(subnet_id).availability_zone for subnet_id in there}
    for subnet_id in added:
        zone = backend.get_subnet(subnet_id).availability_zone
        if zone in zones:
            raise DuplicateSubnetsInSameZone(subnet_id)
        zones.add(zone)


def _check_service(backend: EC2Backend, name: str, kind: str) -> None:
    services = backend._collect_default_endpoint_services(backend.account_id, backend.region_name)
    own = (configuration.to_dict() for configuration in backend.configurations.values())
    kinds = {
        offered["ServiceType"]
        for service in (*services, *own)
        if service["ServiceName"] == name
        for offered in service["ServiceType"]
    }
    if kind not in kinds:
        raise InvalidServiceName(name)


def _check_private_dns(backend: EC2Backend, vpc_id: str, service_name: str) -> None:
    vpc = backend.get_vpc(vpc_id)
    if not (_true(vpc.enable_dns_support) and _true(vpc.enable_dns_hostnames)):
        raise PrivateDnsConflict(
            "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes "
            f"set to true for {vpc_id}"
        )
    for other in backend.vpc_end_points.values():
        if (other.vpc_id, other.service_name) == (vpc_id, service_name) and _true(other.private_dns_enabled):
            raise PrivateDnsConflict(
                "private-dns-enabled cannot be set because there is already a conflicting DNS domain for "
                f"{service_name} in the VPC {vpc_id}"
            )


def _true(value: Any) -> bool:
    return str(value).lower() == "true"


def _mark_interfaces(backend: EC2Backend, endpoint: VPCEndPoint) -> None:
    groups = [backend.get_security_group_from_id(group_id) for group_id in endpoint.security_group_ids]
    for interface_id in endpoint.network_interface_ids:
        interface = backend.get_network_interface(interface_id)
        interface.description = f"VPC Endpoint Interface {endpoint.id}"
        interface.interface_type = "vpc_endpoint"
        interface.requester_managed = True
        interface.status = "in-use"
        if groups:
            interface._group_set = [group for group in groups if group is not None]


def _modifying(original: Function) -> Function:
    def modify_vpc_endpoint(self: Any) -> Any:
        backend: EC2Backend = self.ec2_backend
        (endpoint,) = backend.describe_vpc_endpoints([self._get_param("VpcEndpointId")])
        private = self._get_param("PrivateDnsEnabled")
        if private is not None and _true(private) and not _true(endpoint.private_dns_enabled):
            _check_private_dns(backend, endpoint.vpc_id, endpoint.service_name)
        there = endpoint.subnet_ids or []
        added = [each for each in self._get_param("AddSubnetIds", []) if each not in there]
        _check_zones(backend, there, added)
        answer = original(self)
        if private is not None:
            endpoint.private_dns_enabled = _true(private)
        _move_interfaces(backend, endpoint)
        return answer

    return modify_vpc_endpoint


def _move_interfaces(backend: EC2Backend, endpoint: VPCEndPoint) -> None:
    """Give the endpoint one interface in each of its subnets and none elsewhere."""
    if endpoint.vpc_endpoint_type != "Interface":
        return
    there = {backend.get_network_interface(each).subnet.id: each for each in endpoint.network_interface_ids}
    wanted = endpoint.subnet_ids or []
    for subnet_id in there.keys() - set(wanted):
        backend.delete_network_interface(there.pop(subnet_id))
    for subnet_id in wanted:
        if subnet_id not in there:
            there[subnet_id] = backend.create_network_interface(subnet_id, random_private_ip()).id
    endpoint.network_interface_ids = [there[subnet_id] for subnet_id in wanted]
    _mark_interfaces(backend, endpoint)


def _deleting(original: Function) -> Function:
    def delete_vpc_endpoints(self: EC2Backend, vpce_ids: list[str] | None = None) -> None:
        original(self, vpce_ids)
        for endpoint_id in vpce_ids or []:
            self.vpc_end_points.pop(endpoint_id, None)

    return delete_vpc_endpoints


def _filtering(original: Function) -> Function:
    def filter_services(
        names: list[str], filters: Iterable[dict[str, Any]], services: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        # The API's key is Values; moto asks for the Value that botocore once sent.
        both = [{**each, "Value": each.get("Value", each.get("Values", []))} for each in filters or ()]
        matched: list[dict[str, Any]] = original(names, both, services)
        return matched

    return staticmethod(filter_services)


_REFERENCE = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/"

CORRECTIONS = (
    Correction(
        name="vpc-endpoint-creation",
        statement=(
            "An endpoint is made only for a service that exists, one endpoint in a VPC holds the service's "
            "private name, and its interfaces have the endpoint's security groups."
        ),
        source=_REFERENCE + "API_CreateVpcEndpoint.html",
        anchors=(_CREATE, _SERVICES),
        install=wrap((_CREATE, _creating)),
    ),
    Correction(
        name="vpc-endpoint-modification",
        statement=(
            "A changed endpoint has one interface in each of its subnets, at most one in a zone, and its "
            "private name is switched as asked."
        ),
        source=_REFERENCE + "API_ModifyVpcEndpoint.html",
        anchors=(_MODIFY, _MODEL),
        install=wrap((_MODIFY, _modifying)),
    ),
    Correction(
        name="vpc-endpoint-deletion",
        statement="A deleted endpoint is gone, and so are its network interfaces.",
        source=_REFERENCE + "API_DeleteVpcEndpoints.html",
        anchors=(_DELETE,),
        install=wrap((_DELETE, _deleting)),
    ),
    Correction(
        name="vpc-endpoint-service-filters",
        statement="DescribeVpcEndpointServices filters by service-name, service-type and tags.",
        source=_REFERENCE + "API_DescribeVpcEndpointServices.html",
        anchors=(_FILTER,),
        install=wrap((_FILTER, _filtering)),
    ),
)
