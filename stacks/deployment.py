"""A deployment composed: which stacks there are, who may talk to whom, outputs and tags.

One accelerator is one stack, so plain `cdk deploy` works. Several share a foundation and have a stack
each, so that missing capacity for one does not roll the others back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_cdk import (
    App,
    CfnOutput,
    CfnResource,
    Environment,
    Fn,
    LegacyStackSynthesizer,
    RemovalPolicy,
    Stack,
    Tags,
)

from artifacts.serve.document import host_document
from stacks import parameters
from stacks.boot import user_data
from stacks.closure import creates_s3_gateway
from stacks.document import HostDocument
from stacks.endpoint import Endpoint, Shipped
from stacks.endpoints import InterfaceEndpoints, S3Gateway
from stacks.fleet import HostGroup
from stacks.guard import Guard
from stacks.host import ACCELERATOR_TAG, Hosts, Placement
from stacks.identity import HostIdentity
from stacks.load_balancer import LoadBalancer
from stacks.network import VPC_BLOCK, Network, PrivateVpc, existing_network
from stacks.notebook import Notebook
from stacks.sagemaker_access import Surroundings
from stacks.security_groups import SecurityGroups
from stacks.storage import ArtifactBucket

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from stacks.hosting import EndpointSpec, NotebookSpec
    from stacks.load_balancer import Front
    from stacks.spec import DeploymentSpec, HostSpec

# The last word over what the CDK's command line and cdk.json say, so that both doors write the same bytes.
FINAL_CONTEXT = {"aws:cdk:enable-path-metadata": False, "aws:cdk:enable-asset-metadata": False}
DEPLOYMENT_TAG = "amazonei:deployment"
RUN_TAG = "amazonei:run"
EXPIRY_TAG = "amazonei:expires-at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """What hosts stand on."""

    network: Network
    bucket_arn: str
    bucket_name: str
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
    for name, stack in stacks.items():
        hosts = [host for host in spec.hosts if spec.host_stack(host) == name]
        tags = _tags(stack, spec, hosts)
        for host in hosts:
            add_hosts(stack, spec, host=host, foundation=foundation, tags=tags)
        _finish(stack, tags)
    around = Surroundings(
        subnet_ids=foundation.network.subnet_ids,
        security_group_id=foundation.hosts_group,
        bucket_arn=foundation.bucket_arn,
        bucket_key=spec.kms_key,
    )
    for endpoint in spec.endpoints:
        stack = _stack(app, spec, endpoint.stack(spec.name), f"endpoint on {endpoint.accelerator}")
        add_endpoint(stack, spec, endpoint, around)
        _finish(stack, _tags(stack, spec))
    for notebook in spec.notebooks:
        stack = _stack(app, spec, notebook.stack(spec.name), f"notebook {notebook.name}")
        add_notebook(stack, spec, notebook, around)
        _finish(stack, _tags(stack, spec))
    if spec.guard:
        _put_under_guard(app, spec)


def _put_under_guard(app: App, spec: DeploymentSpec) -> None:
    """Add the stack that deletes the others, made before them and removed after them."""
    guarded = [child for child in app.node.children if isinstance(child, Stack)]
    types = {
        resource.cfn_resource_type
        for stack in guarded
        for resource in stack.node.find_all()
        if isinstance(resource, CfnResource)
    }
    stack = _stack(app, spec, spec.guard_stack, "what deletes the other stacks when they expire")
    Guard(stack, "Guard", spec=spec, types=sorted(types), times=parameters.guard_times(stack))
    _finish(stack, _tags(stack, spec))
    for other in guarded:
        other.add_stack_dependency(stack)


def add_endpoint(
    stack: Stack, spec: DeploymentSpec, endpoint: EndpointSpec, surroundings: Surroundings
) -> None:
    """Add a SageMaker endpoint for a model that is known when its stack is deployed."""
    serving = Endpoint(
        stack,
        "Serving",
        spec=spec,
        endpoint=endpoint,
        surroundings=surroundings,
        shipped=Shipped(
            model_data=parameters.model_data(stack), manifest_digest=parameters.manifest_digest(stack)
        ),
    )
    CfnOutput(stack, "EndpointName", value=serving.name)


def add_notebook(
    stack: Stack, spec: DeploymentSpec, notebook: NotebookSpec, surroundings: Surroundings
) -> None:
    """Add a SageMaker notebook instance."""
    instance = Notebook(stack, "Notebook", spec=spec, notebook=notebook, surroundings=surroundings)
    CfnOutput(stack, "NotebookName", value=instance.name)


def lay_foundation(stack: Stack, spec: DeploymentSpec) -> Foundation:
    """Add network, bucket, document and endpoints, and say in outputs what the hosts are reached with."""
    bucket = ArtifactBucket(stack, "Artifacts", ttl_s=spec.ttl_s, kms_key=spec.kms_key)
    document = HostDocument(stack, "HostCommand", deployment=spec.name, content=host_document())
    network = _network(stack, spec)
    groups = SecurityGroups(
        stack,
        "Access",
        spec=spec,
        vpc_id=network.vpc_id,
        s3_prefix_list=parameters.prefix_list(stack, spec.region),
    )
    CfnOutput(stack, "ArtifactBucket", value=bucket.name)
    CfnOutput(stack, "DocumentName", value=document.name)
    CfnOutput(stack, "VpcId", value=network.vpc_id)
    return Foundation(
        network=network,
        bucket_arn=bucket.arn,
        bucket_name=bucket.name,
        hosts_group=groups.hosts_id,
        ready=_doors(stack, spec, network=network, groups=groups, bucket_arn=bucket.arn),
    )


def add_hosts(
    stack: Stack, spec: DeploymentSpec, *, host: HostSpec, foundation: Foundation, tags: Mapping[str, str]
) -> None:
    """Add the hosts of one accelerator, with an identity of their own."""
    identity = HostIdentity(stack, "Identity", spec=spec, host=host, bucket_arn=foundation.bucket_arn)
    placement = _placement(stack, spec, host, foundation, tags, identity.instance_profile)
    needed = (*foundation.ready, identity.policy)
    bucket = foundation.bucket_name if host.is_group else None
    boot = user_data(deployment=spec.name, host=host, ttl_s=spec.ttl_s, bucket=bucket)
    if host.is_group:
        front = _front(stack, host, foundation.network)
        group = HostGroup(stack, "Fleet", spec=host, placement=placement, boot=boot, front=front)
        group.end_at(tags[EXPIRY_TAG])
        group.start_after(needed)
        CfnOutput(stack, "HostGroup", value=group.name)
        Tags.of(group).add(ACCELERATOR_TAG, host.accelerator)
        return
    hosts = Hosts(stack, "Hosts", spec=host, placement=placement, boot=boot)
    hosts.start_after(needed)
    CfnOutput(stack, "InstanceIds", value=Fn.join(",", list(hosts.instance_ids)))
    Tags.of(hosts).add(ACCELERATOR_TAG, host.accelerator)


def _front(stack: Stack, host: HostSpec, network: Network) -> Front | None:
    """Return the balancer before a group, which says in outputs where clients reach it."""
    if host.balancer is None:
        return None
    # Only the addresses of a new VPC are known here; of another one they have to be stated.
    clients = host.balancer.clients or str(VPC_BLOCK)
    balancer = LoadBalancer(stack, "Front", spec=host.balancer, network=network, clients=clients)
    CfnOutput(stack, "BalancerUrl", value=balancer.url)
    CfnOutput(stack, "TargetGroup", value=balancer.front.target_group)
    Tags.of(balancer).add(ACCELERATOR_TAG, host.accelerator)
    return balancer.front


def _placement(
    stack: Stack,
    spec: DeploymentSpec,
    host: HostSpec,
    foundation: Foundation,
    tags: Mapping[str, str],
    instance_profile: str,
) -> Placement:
    network = foundation.network
    return Placement(
        image_id=parameters.image(stack, host),
        root_device=parameters.root_device_name(stack, host),
        subnet_id="" if host.is_group else parameters.host_subnet(stack, network),
        group_subnets=parameters.group_subnets(stack, network) if host.is_group else (),
        security_group_id=foundation.hosts_group,
        instance_profile=instance_profile,
        key_name=spec.key_name,
        tags=tags,
    )


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
        spec=spec,
    )
    if not creates_s3_gateway(spec):
        return endpoints.resources
    gateway = S3Gateway(
        stack,
        "Gateway",
        network=network,
        bucket_arn=bucket_arn,
        spec=spec,
    )
    return (*endpoints.resources, *gateway.resources)


def _stack(app: App, spec: DeploymentSpec, name: str, content: str) -> Stack:
    return Stack(
        app,
        name,
        description=f"amazonei deployment {spec.name}: {content}",
        env=Environment(region=spec.region),
        # The only one that asks for nothing of a bootstrap: `BootstraplessSynthesizer` still writes the
        # bootstrap's roles into the manifest, and `cdk deploy` would take them on.
        synthesizer=LegacyStackSynthesizer(),
        # `cdk deploy` puts this on the stack itself, so that `amazonei teardown` finds it.
        tags={DEPLOYMENT_TAG: spec.name},
        analytics_reporting=False,
        termination_protection=False,
    )


def _tags(stack: Stack, spec: DeploymentSpec, hosts: Sequence[HostSpec] = ()) -> Mapping[str, str]:
    """Return what everything in the stack is tagged with; the values of a run are parameters."""
    return {
        DEPLOYMENT_TAG: spec.name,
        RUN_TAG: parameters.run_id(stack),
        EXPIRY_TAG: parameters.expiry(stack, is_needed=any(host.is_group for host in hosts)),
    }


def _finish(stack: Stack, tags: Mapping[str, str]) -> None:
    """Tag everything, and leave nothing behind when the stack is deleted."""
    for key, value in tags.items():
        # Tags of the stack itself cannot hold parameters; the resources' own tags can.
        Tags.of(stack).add(key, value, exclude_resource_types=["aws:cdk:stack"])
    for construct in stack.node.find_all():
        if isinstance(construct, CfnResource):
            construct.apply_removal_policy(RemovalPolicy.DESTROY)
