"""The private doors to AWS: interface endpoints, and the gateway to S3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from stacks.closure import ELASTIC_INFERENCE_SERVICE, aws_buckets, interface_services
from stacks.identity import AGENT_ACTIONS, CHANNEL_ACTIONS, MESSAGE_ACTIONS, role_arns

if TYPE_CHECKING:
    from aws_cdk import CfnResource

    from stacks.network import Network
    from stacks.spec import DeploymentSpec

Policy = dict[str, object]

POLICY_ACTIONS = {
    "ssm": AGENT_ACTIONS,
    "ssmmessages": CHANNEL_ACTIONS,
    "ec2messages": MESSAGE_ACTIONS,
}


class InterfaceEndpoints(Construct):
    """One PrivateLink endpoint for each service, in every subnet, under the service's public name."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        network: Network,
        security_group_id: str,
        spec: DeploymentSpec,
    ) -> None:
        super().__init__(scope, construct_id)
        self.resources: tuple[CfnResource, ...] = tuple(
            ec2.CfnVPCEndpoint(
                self,
                _identifier(service),
                vpc_id=network.vpc_id,
                vpc_endpoint_type="Interface",
                service_name=f"com.amazonaws.{Aws.REGION}.{service}",
                subnet_ids=list(network.subnet_ids),
                security_group_ids=[security_group_id],
                private_dns_enabled=True,
                policy_document=_service_policy(service, spec),
            )
            for service in interface_services(spec)
        )


class S3Gateway(Construct):
    """The free route to S3, open to the deployment's own objects and to what AWS's own agents read."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        network: Network,
        bucket_arn: str,
        spec: DeploymentSpec,
    ) -> None:
        super().__init__(scope, construct_id)
        gateway = ec2.CfnVPCEndpoint(
            self,
            "S3",
            vpc_id=network.vpc_id,
            vpc_endpoint_type="Gateway",
            service_name=f"com.amazonaws.{Aws.REGION}.s3",
            route_table_ids=list(network.route_table_ids),
            policy_document=_s3_policy(bucket_arn, spec),
        )
        self.resources: tuple[CfnResource, ...] = (gateway, *network.routes)


def _identifier(service: str) -> str:
    return "".join(word.capitalize() for word in service.replace(".", "-").split("-"))


def _service_policy(service: str, spec: DeploymentSpec) -> Policy | None:
    if service == ELASTIC_INFERENCE_SERVICE:
        return None  # this service refuses endpoint policies
    return _policy(
        {
            "Sid": "HostsOfThisDeployment",
            **_hosts_of(spec),
            "Action": list(POLICY_ACTIONS[service]),
            "Resource": "*",
        }
    )


def _s3_policy(bucket_arn: str, spec: DeploymentSpec) -> Policy:
    return _policy(
        {
            "Sid": "ReadArtifacts",
            **_hosts_of(spec),
            "Action": "s3:GetObject",
            "Resource": f"{bucket_arn}/artifacts/*",
        },
        {"Sid": "ListPieces", **_hosts_of(spec), "Action": "s3:ListBucket", "Resource": bucket_arn},
        {
            "Sid": "WriteResults",
            **_hosts_of(spec),
            "Action": "s3:PutObject",
            "Resource": f"{bucket_arn}/results/*",
        },
        {
            # dnf reads without credentials, so this statement can name no role.
            "Sid": "ReadAwsOwnedBuckets",
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": [f"arn:{Aws.PARTITION}:s3:::{bucket}/*" for bucket in aws_buckets(spec.region)],
        },
    )


def _hosts_of(spec: DeploymentSpec) -> Policy:
    # A gateway's policy takes no role as its principal, so the role is a condition:
    # https://docs.aws.amazon.com/vpc/latest/privatelink/vpc-endpoints-access.html
    return {
        "Effect": "Allow",
        "Principal": "*",
        "Condition": {"ArnLike": {"aws:PrincipalArn": role_arns(spec)}},
    }


def _policy(*statements: Policy) -> Policy:
    return {"Version": "2012-10-17", "Statement": list(statements)}
