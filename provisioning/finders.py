"""How each kind of resource is looked for: one finder per kind, over every type our templates create."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioning.aws.ec2_inventory import Ec2Inventory
from provisioning.aws.iam import Iam
from provisioning.aws.sagemaker import SageMaker
from provisioning.deployment import TAG_DEPLOYMENT
from provisioning.errors import AccessDenied
from provisioning.ownership import own_stacks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from provisioning.aws import Aws
    from provisioning.aws.ec2_inventory import TaggedResource
    from provisioning.aws.iam import IamRecord
    from provisioning.aws.sagemaker import NamedResource

    Find = Callable[[Aws, str | None], Iterator["Found"]]
    Ec2Look = Callable[[Ec2Inventory, Mapping[str, str | None]], tuple[TaggedResource, ...]]

IAM_PATH = (
    "/amazonei/"  # of roles, instance profiles and policies; then the deployment, then perhaps a region
)
LOG_PREFIX = "/amazonei/"
PARAMETER_PATH = "/amazonei"


@dataclass(frozen=True, slots=True)
class Found:
    """A resource a finder came upon."""

    id: str
    deployment: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finder:
    """How one kind of resource is looked for, the CloudFormation types that covers, and what removes it."""

    kind: str
    types: tuple[str, ...]
    find: Callable[[Aws, str | None], Iterable[Found]]
    remedy: str
    in_all_regions: bool = False


def _stacks(aws: Aws, deployment: str | None) -> Iterator[Found]:
    if deployment is not None:
        stacks = own_stacks(aws, deployment)
    else:
        stacks = tuple(stack for stack in aws.cloudformation.stacks() if stack.deployment is not None)
    for stack in stacks:
        yield Found(stack.name, stack.deployment or deployment or "", f"{stack.name}, {stack.status}")


def _instances(aws: Aws, deployment: str | None) -> Iterator[Found]:
    for host in aws.ec2.instances({TAG_DEPLOYMENT: deployment}):
        yield Found(host.instance_id, host.tags[TAG_DEPLOYMENT], f"{host.instance_type}, {host.state}")


def _ec2(look: Ec2Look) -> Find:
    def find(aws: Aws, deployment: str | None) -> Iterator[Found]:
        for resource in look(aws.ec2_inventory, {TAG_DEPLOYMENT: deployment}):
            yield Found(resource.id, resource.tags[TAG_DEPLOYMENT], resource.tags.get("Name", ""))

    return find


def _iam(look: Callable[[Iam, str], tuple[IamRecord, ...]], identify: Callable[[IamRecord], str]) -> Find:
    def find(aws: Aws, deployment: str | None) -> Iterator[Found]:
        prefix = f"{IAM_PATH}{deployment}/" if deployment is not None else IAM_PATH
        for record in look(aws.iam, prefix):
            owner, region, *_ = (*record.path.removeprefix(IAM_PATH).split("/"), "")
            # IAM belongs to no region, so a path may name the one whose deployment of this name it serves.
            served_here = deployment is None or region in ("", aws.region)
            if record.path.startswith(prefix) and served_here:
                yield Found(identify(record), owner, record.name)

    return find


def find_buckets(aws: Aws, deployment: str | None) -> Iterator[Found]:
    """Yield the buckets that carry the deployment's tag (any deployment's, when None)."""
    for bucket in aws.s3.buckets():
        try:
            owner = aws.s3.bucket_tags(bucket).get(TAG_DEPLOYMENT)
        except AccessDenied:
            # Somebody else's bucket may well be closed to us; one with our name may not go unseen.
            if bucket.startswith(deployment or "amazonei"):
                raise
            continue
        if owner is not None and deployment in (None, owner):
            yield Found(bucket, owner)


def _documents(aws: Aws, deployment: str | None) -> Iterator[Found]:
    for document in aws.ssm.own_documents():
        owner = document.tags.get(TAG_DEPLOYMENT)
        if owner is not None and deployment in (None, owner):
            yield Found(document.name, owner)


def _parameters(aws: Aws, deployment: str | None) -> Iterator[Found]:
    # Parameters can be filtered by a tag's value but not by its key alone.
    if deployment is None:
        names = aws.ssm.parameters_under(PARAMETER_PATH)
    else:
        names = aws.ssm.parameters_tagged(TAG_DEPLOYMENT, deployment)
    for name in names:
        yield Found(name, deployment or name.removeprefix(f"{PARAMETER_PATH}/").partition("/")[0])


def _log_groups(aws: Aws, deployment: str | None) -> Iterator[Found]:
    for group in aws.logs.log_groups(LOG_PREFIX):
        owner = group.removeprefix(LOG_PREFIX).partition("/")[0]
        if deployment in (None, owner):
            yield Found(group, owner)


def _sagemaker(
    look: Callable[[SageMaker], tuple[NamedResource, ...]],
) -> Find:
    def find(aws: Aws, deployment: str | None) -> Iterator[Found]:
        for resource in look(aws.sagemaker):
            owner = aws.sagemaker.tags(resource.arn).get(TAG_DEPLOYMENT)
            if owner is not None and deployment in (None, owner):
                yield Found(resource.name, owner)

    return find


FINDERS = (
    Finder(
        kind="stack",
        types=("AWS::CloudFormation::Stack",),
        find=_stacks,
        remedy="amazonei teardown --name {deployment}",
    ),
    Finder(
        kind="instance",
        types=("AWS::EC2::Instance",),
        find=_instances,
        remedy="aws ec2 terminate-instances --instance-ids {id}",
    ),
    Finder(
        kind="volume",
        types=("AWS::EC2::Volume", "AWS::EC2::VolumeAttachment"),
        find=_ec2(Ec2Inventory.volumes),
        remedy="aws ec2 delete-volume --volume-id {id}",
    ),
    Finder(
        kind="snapshot",
        types=(),
        find=_ec2(Ec2Inventory.snapshots),
        remedy="aws ec2 delete-snapshot --snapshot-id {id}",
    ),
    Finder(
        kind="launch template",
        types=("AWS::EC2::LaunchTemplate",),
        find=_ec2(Ec2Inventory.launch_templates),
        remedy="aws ec2 delete-launch-template --launch-template-id {id}",
    ),
    Finder(
        kind="VPC endpoint",
        types=("AWS::EC2::VPCEndpoint",),
        find=_ec2(Ec2Inventory.vpc_endpoints),
        remedy="aws ec2 delete-vpc-endpoints --vpc-endpoint-ids {id}",
    ),
    Finder(
        kind="network interface",
        types=("AWS::EC2::NetworkInterface",),
        find=_ec2(Ec2Inventory.network_interfaces),
        remedy="aws ec2 delete-network-interface --network-interface-id {id}",
    ),
    Finder(
        kind="security group",
        # Rules live and die with their group.
        types=(
            "AWS::EC2::SecurityGroup",
            "AWS::EC2::SecurityGroupIngress",
            "AWS::EC2::SecurityGroupEgress",
        ),
        find=_ec2(Ec2Inventory.security_groups),
        remedy="aws ec2 delete-security-group --group-id {id}",
    ),
    Finder(
        kind="subnet",
        types=("AWS::EC2::Subnet",),
        find=_ec2(Ec2Inventory.subnets),
        remedy="aws ec2 delete-subnet --subnet-id {id}",
    ),
    Finder(
        kind="route table",
        types=("AWS::EC2::RouteTable", "AWS::EC2::Route", "AWS::EC2::SubnetRouteTableAssociation"),
        find=_ec2(Ec2Inventory.route_tables),
        remedy="aws ec2 delete-route-table --route-table-id {id}",
    ),
    Finder(
        kind="VPC",
        types=("AWS::EC2::VPC",),
        find=_ec2(Ec2Inventory.vpcs),
        remedy="aws ec2 delete-vpc --vpc-id {id}",
    ),
    Finder(
        kind="bucket",
        types=("AWS::S3::Bucket", "AWS::S3::BucketPolicy"),
        find=find_buckets,
        remedy="amazonei teardown --name {deployment}",
    ),
    Finder(
        kind="document",
        types=("AWS::SSM::Document",),
        find=_documents,
        remedy="aws ssm delete-document --name {id}",
    ),
    Finder(
        kind="parameter",
        types=("AWS::SSM::Parameter",),
        find=_parameters,
        remedy="aws ssm delete-parameter --name {id}",
    ),
    Finder(
        kind="log group",
        types=("AWS::Logs::LogGroup",),
        find=_log_groups,
        remedy="aws logs delete-log-group --log-group-name {id}",
    ),
    Finder(
        kind="SageMaker endpoint",
        types=("AWS::SageMaker::Endpoint",),
        find=_sagemaker(SageMaker.endpoints),
        remedy="aws sagemaker delete-endpoint --endpoint-name {id}",
    ),
    Finder(
        kind="SageMaker endpoint configuration",
        types=("AWS::SageMaker::EndpointConfig",),
        find=_sagemaker(SageMaker.endpoint_configs),
        remedy="aws sagemaker delete-endpoint-config --endpoint-config-name {id}",
    ),
    Finder(
        kind="SageMaker model",
        types=("AWS::SageMaker::Model",),
        find=_sagemaker(SageMaker.models),
        remedy="aws sagemaker delete-model --model-name {id}",
    ),
    Finder(
        kind="instance profile",
        types=("AWS::IAM::InstanceProfile",),
        find=_iam(Iam.instance_profiles, lambda record: record.name),
        remedy="aws iam delete-instance-profile --instance-profile-name {id}",
        in_all_regions=True,
    ),
    Finder(
        kind="role",
        types=("AWS::IAM::Role", "AWS::IAM::Policy"),  # a Policy is part of its role
        find=_iam(Iam.roles, lambda record: record.name),
        remedy="aws iam delete-role --role-name {id}",
        in_all_regions=True,
    ),
    Finder(
        kind="policy",
        types=("AWS::IAM::ManagedPolicy",),
        find=_iam(Iam.policies, lambda record: record.arn),
        remedy="aws iam delete-policy --policy-arn {id}",
        in_all_regions=True,
    ),
)

COVERED_TYPES = frozenset(name for finder in FINDERS for name in finder.types)
