"""Security groups of a template: their rules are the ones that were declared."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from moto.ec2.models import ec2_backends

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.resource_handlers import Handler, Made, Request, amend, register

if TYPE_CHECKING:
    from collections.abc import Mapping

_BACKEND = "moto.ec2.models.security_groups:SecurityGroupBackend"


def _create_group(request: Request) -> Any:
    properties, backend = request.properties, ec2_backends[request.account_id][request.region]
    group = backend.create_security_group(
        name=request.name, description=properties["GroupDescription"], vpc_id=properties.get("VpcId")
    )
    if properties.get("SecurityGroupEgress"):
        # The rule that allows everything is there only while no other is declared.
        group.egress_rules.clear()
    with ExitStack() as undo:
        undo.callback(backend.delete_security_group, group_id=group.id)
        for rule in properties.get("SecurityGroupIngress", []):
            _authorize(request, "ingress", group.id, rule)
        for rule in properties.get("SecurityGroupEgress", []):
            _authorize(request, "egress", group.id, rule)
        undo.pop_all()
    return group


def _delete_group(group: Any, request: Request) -> None:
    ec2_backends[request.account_id][request.region].delete_security_group(group_id=group.id)


def _authorize(request: Request, direction: str, group_id: str, rule: Mapping[str, Any]) -> str:
    backend = ec2_backends[request.account_id][request.region]
    authorize = getattr(backend, f"authorize_security_group_{direction}")
    side = "Source" if direction == "ingress" else "Destination"
    rules, _ = authorize(group_name_or_id=group_id, **_permission(rule, side))
    return str(rules[0].id)


def _permission(rule: Mapping[str, Any], side: str) -> dict[str, Any]:
    described = {"Description": rule["Description"]} if "Description" in rule else {}
    ranges = [{key: rule[key], **described} for key in ("CidrIp", "CidrIpv6") if key in rule]
    groups = (
        [{"GroupId": rule[f"{side}SecurityGroupId"], **described}] if f"{side}SecurityGroupId" in rule else []
    )
    lists = [{"PrefixListId": rule[f"{side}PrefixListId"]}] if f"{side}PrefixListId" in rule else []
    return {
        "ip_protocol": str(rule["IpProtocol"]),
        "from_port": rule.get("FromPort"),
        "to_port": rule.get("ToPort"),
        "ip_ranges": ranges,
        "source_groups": groups,
        "prefix_list_ids": lists,
    }


def _rule_handler(direction: str) -> Handler:
    def create(request: Request) -> Made:
        rule_id = _authorize(request, direction, request.properties["GroupId"], request.properties)
        return Made(physical_resource_id=rule_id, attributes={"Id": rule_id})

    def delete(rule: Made, request: Request) -> None:
        backend = ec2_backends[request.account_id][request.region]
        group = backend.get_security_group_from_id(request.properties["GroupId"])
        if group is not None:
            rules = getattr(group, f"{direction}_rules")
            rules[:] = [each for each in rules if each.id != rule.physical_resource_id]

    return Handler(create=create, delete=delete)


def _install_groups() -> None:
    amend("AWS::EC2::SecurityGroup", create=_create_group, delete=_delete_group, update=None)


def _install_rules() -> None:
    register("AWS::EC2::SecurityGroupIngress", _rule_handler("ingress"))
    register("AWS::EC2::SecurityGroupEgress", _rule_handler("egress"))


_REFERENCE = "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/"

CORRECTIONS = (
    Correction(
        name="security-group-egress",
        statement="A security group with declared egress rules has those, and not the rule that allows all.",
        source=_REFERENCE + "aws-resource-ec2-securitygroup.html",
        anchors=(
            Anchor(
                "moto.ec2.models.security_groups:SecurityGroup.create_from_cloudformation_json",
                "6d440459c953cdc1",
            ),
            Anchor(f"{_BACKEND}.create_security_group", "782b85176bd2472f"),
            Anchor(f"{_BACKEND}.authorize_security_group_egress", "317589a112f959d5"),
        ),
        install=_install_groups,
    ),
    Correction(
        name="security-group-rules",
        statement="A rule declared as a resource is made in its group, and revoked with the resource.",
        source=_REFERENCE + "aws-resource-ec2-securitygroupegress.html",
        anchors=(
            Anchor(
                "moto.ec2.models.security_groups:SecurityGroupIngress.create_from_cloudformation_json",
                "0e20f8e9b58314f7",
            ),
            Anchor(f"{_BACKEND}.authorize_security_group_ingress", "e67d25cd036d38c1"),
        ),
        install=_install_rules,
    ),
)
