"""What stands before a group: an internal load balancer that speaks TLS, and sends to hosts in rotation only.

Between the balancer and its hosts requests travel in plain HTTP, inside of the VPC and between two security
groups that know nobody else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elb
from constructs import Construct

from artifacts.serve import rotation
from artifacts.serve.routes import REQUEST_TIMEOUT_MS
from stacks.security_groups import HTTPS, nowhere

if TYPE_CHECKING:
    from aws_cdk import CfnResource

    from stacks.balancing import BalancerSpec
    from stacks.network import Network

# TLS 1.3, and of 1.2 only what has forward secrecy and authenticated encryption:
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html
TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-Res-2021-06"
REQUEST_S = REQUEST_TIMEOUT_MS // 1000
PORTS = {"requests": rotation.DOOR_PORT, "health": rotation.HEALTH_PORT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """What a group has to know of the balancer before it."""

    target_group: str  # its ARN
    hosts_group: str  # the security group that lets the balancer in
    resource_label: str  # what the balancer's metric is filed under
    listener: CfnResource


class LoadBalancer(Construct):
    """An Application Load Balancer in both zones; nothing but the stated addresses may connect to it."""

    def __init__(
        self, scope: Construct, construct_id: str, *, spec: BalancerSpec, network: Network, clients: str
    ) -> None:
        super().__init__(scope, construct_id)
        balancer_group, hosts_group = self._groups(network.vpc_id, clients)
        balancer = elb.CfnLoadBalancer(
            self,
            "Balancer",
            type="application",
            scheme="internal",
            ip_address_type="ipv4",
            subnets=[network.first_subnet, network.second_subnet],
            security_groups=[balancer_group],
            load_balancer_attributes=[
                # What teardown and the guard could not delete would be billed for ever.
                _attribute("deletion_protection.enabled", "false"),
                _attribute("idle_timeout.timeout_seconds", str(2 * REQUEST_S)),
                _attribute("routing.http.desync_mitigation_mode", "defensive"),
                _attribute("routing.http.drop_invalid_header_fields.enabled", "true"),
            ],
        )
        targets = self._targets(network.vpc_id)
        listener = elb.CfnListener(
            self,
            "Listener",
            load_balancer_arn=balancer.ref,
            port=HTTPS,
            protocol="HTTPS",
            ssl_policy=TLS_POLICY,
            certificates=[elb.CfnListener.CertificateProperty(certificate_arn=spec.certificate)],
            default_actions=[elb.CfnListener.ActionProperty(type="forward", target_group_arn=targets.ref)],
        )
        self.url = f"https://{balancer.attr_dns_name}"
        self.front = Front(
            target_group=targets.ref,
            hosts_group=hosts_group,
            resource_label=f"{balancer.attr_load_balancer_full_name}/{targets.attr_target_group_full_name}",
            listener=listener,
        )

    def _groups(self, vpc_id: str, clients: str) -> tuple[str, str]:
        """Return the balancer's security group, and the one its hosts are in besides their own."""
        hosts = ec2.CfnSecurityGroup(
            self,
            "Hosts",
            vpc_id=vpc_id,
            group_description="Hosts behind the balancer: requests and health checks from it",
            security_group_egress=[nowhere()],
        )
        balancer = ec2.CfnSecurityGroup(
            self,
            "Group",
            vpc_id=vpc_id,
            group_description="Balancer: TLS from its clients, requests and health checks to its hosts",
            security_group_egress=[
                ec2.CfnSecurityGroup.EgressProperty(
                    ip_protocol="tcp",
                    from_port=port,
                    to_port=port,
                    destination_security_group_id=hosts.attr_group_id,
                    description=f"{kind} to the hosts",
                )
                for kind, port in PORTS.items()
            ],
        )
        for kind, port in PORTS.items():
            self._let_in(
                f"From{kind.title()}", hosts, port, f"{kind} from the balancer", group=balancer.attr_group_id
            )
        self._let_in("Clients", balancer, HTTPS, "TLS from the clients", cidr=clients)
        return balancer.attr_group_id, hosts.attr_group_id

    def _let_in(
        self,
        name: str,
        into: ec2.CfnSecurityGroup,
        port: int,
        description: str,
        *,
        group: str | None = None,
        cidr: str | None = None,
    ) -> None:
        is_six = cidr is not None and ":" in cidr
        ec2.CfnSecurityGroupIngress(
            self,
            name,
            group_id=into.attr_group_id,
            source_security_group_id=group,
            cidr_ip=None if is_six else cidr,
            cidr_ipv6=cidr if is_six else None,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            description=description,
        )

    def _targets(self, vpc_id: str) -> elb.CfnTargetGroup:
        return elb.CfnTargetGroup(
            self,
            "Targets",
            vpc_id=vpc_id,
            target_type="instance",
            protocol="HTTP",
            port=rotation.DOOR_PORT,
            health_check_enabled=True,
            health_check_protocol="HTTP",
            health_check_port=str(rotation.HEALTH_PORT),
            health_check_path=rotation.HEALTH_PATH,
            health_check_interval_seconds=rotation.INTERVAL_S,
            health_check_timeout_seconds=rotation.TIMEOUT_S,
            healthy_threshold_count=rotation.THRESHOLD,
            unhealthy_threshold_count=rotation.THRESHOLD,
            matcher=elb.CfnTargetGroup.MatcherProperty(http_code="200"),
            target_group_attributes=[
                # No request lives longer, and a host that leaves is paid for until then.
                _target_attribute("deregistration_delay.timeout_seconds", str(REQUEST_S)),
                # Inferences differ in length: who has least to do comes next. It excludes a slow start, which
                # nobody needs here: a server is warm before it is in rotation.
                _target_attribute("load_balancing.algorithm.type", "least_outstanding_requests"),
            ],
        )


def _attribute(key: str, value: str) -> elb.CfnLoadBalancer.LoadBalancerAttributeProperty:
    return elb.CfnLoadBalancer.LoadBalancerAttributeProperty(key=key, value=value)


def _target_attribute(key: str, value: str) -> elb.CfnTargetGroup.TargetGroupAttributeProperty:
    return elb.CfnTargetGroup.TargetGroupAttributeProperty(key=key, value=value)
