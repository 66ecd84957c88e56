"""A deployment composed: which stacks there are, who may talk to whom, outputs and tags.

One accelerator is one stack, so plain `cdk deploy` works. Several share a foundation and have a stack
each, so that missing capacity for one does not roll the others back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_cdk import (
    App,
    BootstraplessSynthesizer,
    CfnOutput,
    CfnResource,
    Environment,
    Fn,
    RemovalPolicy,
    Stack,
    Tags,
)

from artifacts.serve.document import host_document
from stacks import parameters
from stacks.boot import user_data
from stacks.closure import creates_s3_gateway, interface_services
from stacks.document import HostDocument
from stacks.endpoints import InterfaceEndpoints, S3Gateway
from stacks.host import Hosts, Placement
from stacks.identity import HostIdentity
from stacks.network import Network, PrivateVpc, existing_network
from stacks.security_groups import SecurityGroups
from stacks.storage import ArtifactBucket

if TYPE_CHECKING:
    from pathlib import Path

    from stacks.spec import DeploymentSpec, HostSpec

# The last word over what the CDK's command line and cdk.json say, so that both doors write the same bytes.
FINAL_CONTEXT = {"aws:cdk:enable-path-metadata": False, "aws:cdk:enable-asset-metadata": False}
DEPLOYMENT_TAG = "amazonei:deployment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """What hosts stand on."""

    network: Network
    bucket_arn: str
    hosts_group: str
    ready: tuple[CfnResource, ...]  # the doors to AWS: a host that boots before them finds nobody


def new_app(outdir: Path | None = None) -> App:
    """Return an empty app; without `outdir` it writes where the CDK's command line asks it to.

    The CDK's own validation speaks on standard error, which belongs to the CDK's door only; ours asks
    AWS before it deploys.
    """
    return App(
        analytics_reporting=False,
        builtin_cloud_formation_validation=outdir is None,
        post_cli_context=FINAL_CONTEXT,
        tree_metadata=False,
        outdir=None if outdir is None else str(outdir),
    )


def compose(app: App, spec: DeploymentSpec) -> None:
    """Add the stacks of a deployment to an app."""
    base = _stack(app, spec, spec.name, "network, storage and doors to AWS")
    foundation = lay_foundation(base, spec)
    stacks = {spec.name: base}
    for host in spec.hosts:
        name = spec.host_stack(host)
        if name not in stacks:
            stacks[name] = _stack(app, spec, name, f"hosts of {host.accelerator}")
        add_hosts(stacks[name], spec, host=host, foundation=foundation)
    for stack in stacks.values():
        _finish(stack, spec)


def lay_foundation(stack: Stack, spec: DeploymentSpec) -> Foundation:
    """Add network, bucket, document and endpoints, and say in outputs what the hosts are reached with."""
    bucket = ArtifactBucket(stack, "Artifacts")
    document = HostDocument(stack, "HostCommand", deployment=spec.name, content=host_document())
    network = _network(stack, spec)
    groups = SecurityGroups(
        stack,
        "Access",
        vpc_id=network.vpc_id,
        s3_prefix_list=parameters.prefix_list(stack, spec.region),
    )
    CfnOutput(stack, "ArtifactBucket", value=bucket.name)
    CfnOutput(stack, "DocumentName", value=document.name)
    CfnOutput(stack, "VpcId", value=network.vpc_id)
    return Foundation(
        network=network,
        bucket_arn=bucket.arn,
        hosts_group=groups.hosts_id,
        ready=_doors(stack, spec, network=network, groups=groups, bucket_arn=bucket.arn),
    )


def add_hosts(stack: Stack, spec: DeploymentSpec, *, host: HostSpec, foundation: Foundation) -> None:
    """Add the hosts of one accelerator, with an identity of their own."""
    identity = HostIdentity(
        stack,
        "Identity",
        deployment=spec.name,
        bucket_arn=foundation.bucket_arn,
        elastic_inference=host.elastic_inference is not None,
    )
    placement = Placement(
        image_id=parameters.image(stack, host),
        root_device=parameters.root_device_name(stack, host),
        subnet_id=parameters.host_subnet(stack, foundation.network),
        security_group_id=foundation.hosts_group,
        instance_profile=identity.instance_profile,
    )
    hosts = Hosts(
        stack,
        "Hosts",
        spec=host,
        placement=placement,
        boot=user_data(deployment=spec.name, host=host, ttl_s=spec.ttl_s),
        key_name=spec.key_name,
    )
    hosts.start_after(foundation.ready)
    CfnOutput(stack, "InstanceIds", value=Fn.join(",", list(hosts.instance_ids)))


def _network(stack: Stack, spec: DeploymentSpec) -> Network:
    if spec.network.vpc_id is not None:
        return existing_network(spec.network)
    return PrivateVpc(stack, "Network", zones=parameters.zones(stack)).network


def _doors(
    stack: Stack, spec: DeploymentSpec, *, network: Network, groups: SecurityGroups, bucket_arn: str
) -> tuple[CfnResource, ...]:
    endpoints = InterfaceEndpoints(
        stack,
        "Endpoints",
        network=network,
        security_group_id=groups.endpoints_id,
        services=interface_services(spec),
        deployment=spec.name,
    )
    if not creates_s3_gateway(spec):
        return endpoints.resources
    gateway = S3Gateway(
        stack,
        "Gateway",
        network=network,
        bucket_arn=bucket_arn,
        deployment=spec.name,
        region=spec.region,
    )
    return (*endpoints.resources, *gateway.resources)


def _stack(app: App, spec: DeploymentSpec, name: str, content: str) -> Stack:
    return Stack(
        app,
        name,
        description=f"amazonei deployment {spec.name}: {content}",
        env=Environment(region=spec.region),
        synthesizer=BootstraplessSynthesizer(),
        # `cdk deploy` puts this on the stack itself, so that `amazonei teardown` finds it.
        tags={DEPLOYMENT_TAG: spec.name},
        analytics_reporting=False,
        termination_protection=False,
    )


def _finish(stack: Stack, spec: DeploymentSpec) -> None:
    """Tag everything, and leave nothing behind when the stack is deleted."""
    run, expiry = parameters.run_tags(stack)
    tags = {DEPLOYMENT_TAG: spec.name, "amazonei:run": run, "amazonei:expires-at": expiry}
    for key, value in tags.items():
        # Tags of the stack itself cannot hold parameters; the resources' own tags can.
        Tags.of(stack).add(key, value, exclude_resource_types=["aws:cdk:stack"])
    for construct in stack.node.find_all():
        if isinstance(construct, CfnResource):
            construct.apply_removal_policy(RemovalPolicy.DESTROY)
