"""Who may talk to whom: hosts to the endpoints and to S3 over TLS, and nobody to the hosts by default."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from stacks.closure import endpoint_groups, interface_services

if TYPE_CHECKING:
    from stacks.spec import DeploymentSpec

HTTPS = 443
SSH = 22


class SecurityGroups(Construct):
    """The hosts' group, and the group of the endpoints that the templates bring, which only hosts may enter.

    Endpoints that were there already keep their own groups: a rule lets the hosts in, and goes with the
    stack.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, spec: DeploymentSpec, vpc_id: str, s3_prefix_list: str
    ) -> None:
        super().__init__(scope, construct_id)
        self.endpoints_id = self._endpoints(vpc_id) if interface_services(spec) else ""
        entered = tuple(filter(None, (self.endpoints_id, *endpoint_groups(spec))))
        self.hosts_id = self._hosts(vpc_id, entered, s3_prefix_list)
        for number, group in enumerate(entered):
            self._let_in(f"FromHosts{number or ''}", group)
        if spec.ssh_cidr is not None:
            self._open_ssh(spec.ssh_cidr)

    def _endpoints(self, vpc_id: str) -> str:
        group = ec2.CfnSecurityGroup(
            self,
            "Endpoints",
            vpc_id=vpc_id,
            group_description="Interface endpoints: TLS from the hosts",
            security_group_egress=[nowhere()],
        )
        return group.attr_group_id

    def _hosts(self, vpc_id: str, endpoints: tuple[str, ...], s3_prefix_list: str) -> str:
        group = ec2.CfnSecurityGroup(
            self,
            "Hosts",
            vpc_id=vpc_id,
            group_description="Hosts: nothing in, TLS to the endpoints and to S3",
            security_group_egress=[
                *(_tls("TLS to the interface endpoints", security_group=each) for each in endpoints),
                _tls("TLS to S3 through its gateway", prefix_list=s3_prefix_list),
            ],
        )
        return group.attr_group_id

    def _let_in(self, name: str, group: str) -> None:
        # A resource of its own: each group names the other.
        ec2.CfnSecurityGroupIngress(
            self,
            name,
            group_id=group,
            source_security_group_id=self.hosts_id,
            ip_protocol="tcp",
            from_port=HTTPS,
            to_port=HTTPS,
            description="TLS from the hosts",
        )

    def _open_ssh(self, cidr: str) -> None:
        is_six = ":" in cidr
        ec2.CfnSecurityGroupIngress(
            self,
            "Ssh",
            group_id=self.hosts_id,
            cidr_ip=None if is_six else cidr,
            cidr_ipv6=cidr if is_six else None,
            ip_protocol="tcp",
            from_port=SSH,
            to_port=SSH,
            description="SSH from the stated addresses",
        )


def _tls(
    description: str, *, security_group: str | None = None, prefix_list: str | None = None
) -> ec2.CfnSecurityGroup.EgressProperty:
    return ec2.CfnSecurityGroup.EgressProperty(
        ip_protocol="tcp",
        from_port=HTTPS,
        to_port=HTTPS,
        description=description,
        destination_security_group_id=security_group,
        destination_prefix_list_id=prefix_list,
    )


def nowhere() -> ec2.CfnSecurityGroup.EgressProperty:
    """Return a rule that matches no packet.

    A group without egress rules gets AWS's allow-all rule, so "nothing" has to be said with a rule:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ec2-securitygroup.html
    """
    return ec2.CfnSecurityGroup.EgressProperty(
        ip_protocol="tcp",
        from_port=HTTPS,
        to_port=HTTPS,
        cidr_ip="127.0.0.1/32",
        description="Nowhere: replaces the allow-all default",
    )
