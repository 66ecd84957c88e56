"""Routes and endpoints of a template: deleted when the stack is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from moto.ec2.models import ec2_backends

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.resource_handlers import Handler, Made, Request, amend, register

if TYPE_CHECKING:
    from moto.ec2.models import EC2Backend

_ROUTES = "moto.ec2.models.route_tables:RouteBackend"
_VPCS = "moto.ec2.models.vpcs:VPCBackend"


def _backend(request: Request) -> EC2Backend:
    return ec2_backends[request.account_id][request.region]


def _create_vpc(request: Request) -> Any:
    properties, backend = request.properties, _backend(request)
    vpc = backend.create_vpc(
        properties["CidrBlock"], instance_tenancy=properties.get("InstanceTenancy", "default")
    )
    return _change_vpc(vpc, request)


def _change_vpc(vpc: Any, request: Request) -> Any:
    for name, attribute, default in (
        ("EnableDnsSupport", "enable_dns_support", True),
        ("EnableDnsHostnames", "enable_dns_hostnames", False),
    ):
        value = str(request.properties.get(name, default)).lower() == "true"
        # A word here would count as true where moto asks for an address's name.
        _backend(request).modify_vpc_attribute(vpc.id, attribute, value)  # type: ignore[arg-type]
    return vpc


def _create_subnet(request: Request) -> Any:
    properties, backend = request.properties, _backend(request)
    subnet = backend.create_subnet(
        vpc_id=properties["VpcId"],
        cidr_block=properties["CidrBlock"],
        availability_zone=properties.get("AvailabilityZone"),
    )
    return _change_subnet(subnet, request)


def _change_subnet(subnet: Any, request: Request) -> Any:
    public = str(request.properties.get("MapPublicIpOnLaunch", False)).lower()
    _backend(request).modify_subnet_attribute(subnet.id, "map_public_ip_on_launch", public == "true")
    return subnet


def _install_network() -> None:
    amend("AWS::EC2::VPC", create=_create_vpc, update=_change_vpc)
    amend("AWS::EC2::Subnet", create=_create_subnet, update=_change_subnet)


def _delete_route_table(table: Any, request: Request) -> None:
    _backend(request).delete_route_table(table.id)


def _associate(request: Request) -> Made:
    association = _backend(request).associate_route_table(
        request.properties["RouteTableId"], subnet_id=request.properties["SubnetId"]
    )
    return Made(physical_resource_id=association, attributes={"Id": association})


def _disassociate(association: Made, request: Request) -> None:
    _backend(request).disassociate_route_table(association.physical_resource_id)


def _install_routing() -> None:
    amend("AWS::EC2::RouteTable", delete=_delete_route_table)
    register("AWS::EC2::SubnetRouteTableAssociation", Handler(create=_associate, delete=_disassociate))


def _create_endpoint(request: Request) -> Any:
    properties = request.properties
    policy = properties.get("PolicyDocument")
    return _backend(request).create_vpc_endpoint(
        vpc_id=properties["VpcId"],
        service_name=properties.get("ServiceName", ""),
        endpoint_type=properties.get("VpcEndpointType", "Gateway"),
        policy_document=policy if policy is None or isinstance(policy, str) else json.dumps(policy),
        route_table_ids=properties.get("RouteTableIds", []),
        subnet_ids=properties.get("SubnetIds", []),
        security_group_ids=properties.get("SecurityGroupIds", []),
        private_dns_enabled=properties.get("PrivateDnsEnabled"),
    )


def _delete_endpoint(endpoint: Any, request: Request) -> None:
    _backend(request).delete_vpc_endpoints([endpoint.id])


def _install_endpoints() -> None:
    register("AWS::EC2::VPCEndpoint", Handler(create=_create_endpoint, delete=_delete_endpoint))


_REFERENCE = "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/"

CORRECTIONS = (
    Correction(
        name="network-attributes",
        statement="A VPC has the DNS attributes of its template, and a subnet its public-address default.",
        source=_REFERENCE + "aws-resource-ec2-vpc.html",
        anchors=(
            Anchor("moto.ec2.models.vpcs:VPC.create_from_cloudformation_json", "bc4ae7e70798b6b2"),
            Anchor("moto.ec2.models.subnets:Subnet.create_from_cloudformation_json", "578086520ad77886"),
            Anchor(f"{_VPCS}.modify_vpc_attribute", "3b418ae06871cb4c"),
            Anchor("moto.ec2.models.subnets:SubnetBackend.modify_subnet_attribute", "ae35e2398fccb10b"),
        ),
        install=_install_network,
    ),
    Correction(
        name="route-table-resources",
        statement="A route table and its associations are deleted with their resources.",
        source=_REFERENCE + "aws-resource-ec2-subnetroutetableassociation.html",
        anchors=(
            Anchor(f"{_ROUTES}.associate_route_table", "550cc7f534dd95e3"),
            Anchor(f"{_ROUTES}.disassociate_route_table", "7295ab242bb43e1f"),
            Anchor(f"{_ROUTES}.delete_route_table", "002a2c9fd33d03f6"),
            Anchor(
                "moto.ec2.models.subnets:SubnetRouteTableAssociation.create_from_cloudformation_json",
                "2c2dda1bc765a761",
            ),
        ),
        install=_install_routing,
    ),
    Correction(
        name="vpc-endpoint-resource",
        statement="An endpoint declared in a template is deleted with its stack, and its interfaces with it.",
        source=_REFERENCE + "aws-resource-ec2-vpcendpoint.html",
        anchors=(
            Anchor("moto.ec2.models.vpcs:VPCEndPoint.create_from_cloudformation_json", "1ada297849bb4c42"),
            Anchor(f"{_VPCS}.create_vpc_endpoint", "de14467a689d3932"),
            Anchor(f"{_VPCS}.delete_vpc_endpoints", "d0b02f0633ae22a1"),
        ),
        install=_install_endpoints,
    ),
)
