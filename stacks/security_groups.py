"""Who may talk to whom: hosts to the endpoints and to S3 over TLS, and nobody to the hosts."""

from __future__ import annotations

from aws_cdk import aws_ec2 as ec2
from constructs import Construct

HTTPS = 443


class SecurityGroups(Construct):
    """The hosts' group, which nothing may enter, and the endpoints' group, which only hosts may."""

    def __init__(self, scope: Construct, construct_id: str, *, vpc_id: str, s3_prefix_list: str) -> None:
        super().__init__(scope, construct_id)
        endpoints = ec2.CfnSecurityGroup(
            self,
            "Endpoints",
            vpc_id=vpc_id,
            group_description="Interface endpoints: TLS from the hosts",
            security_group_egress=[_nowhere()],
        )
        hosts = ec2.CfnSecurityGroup(
            self,
            "Hosts",
            vpc_id=vpc_id,
            group_description="Hosts: nothing in, TLS to the endpoints and to S3",
            security_group_egress=[
                _tls("TLS to the interface endpoints", destination_security_group_id=endpoints.attr_group_id),
                _tls("TLS to S3 through its gateway", destination_prefix_list_id=s3_prefix_list),
            ],
        )
        # A resource of its own: each group names the other.
        ec2.CfnSecurityGroupIngress(
            self,
            "FromHosts",
            group_id=endpoints.attr_group_id,
            source_security_group_id=hosts.attr_group_id,
            ip_protocol="tcp",
            from_port=HTTPS,
            to_port=HTTPS,
            description="TLS from the hosts",
        )
        self.endpoints_id = endpoints.attr_group_id
        self.hosts_id = hosts.attr_group_id


def _tls(
    description: str,
    *,
    destination_security_group_id: str | None = None,
    destination_prefix_list_id: str | None = None,
) -> ec2.CfnSecurityGroup.EgressProperty:
    return ec2.CfnSecurityGroup.EgressProperty(
        ip_protocol="tcp",
        from_port=HTTPS,
        to_port=HTTPS,
        description=description,
        destination_security_group_id=destination_security_group_id,
        destination_prefix_list_id=destination_prefix_list_id,
    )


def _nowhere() -> ec2.CfnSecurityGroup.EgressProperty:
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
