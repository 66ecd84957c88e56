"""How each kind of thing a deployment may leave is searched for: by tag, by path, or by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioning.deployment import TAG_DEPLOYMENT
from provisioning.errors import AccessDenied
from provisioning.ownership import own_stacks
from provisioning.repairs import TAG_PREFIX, tag_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from provisioning.aws import Aws
    from provisioning.aws.ec2_inventory import Ec2Inventory, TaggedResource
    from provisioning.aws.iam import Iam, IamRecord
    from provisioning.aws.sagemaker import NamedResource, SageMaker

    Find = Callable[[Aws, str | None], Iterator["Found"]]
    Ec2Look = Callable[[Ec2Inventory, Mapping[str, str | None]], tuple[TaggedResource, ...]]

IAM_PATH = (
    "/amazonei/"  # of roles, instance profiles and policies; then the deployment, then perhaps a region
)
LOG_PREFIX = "/amazonei/"
ENDPOINT_LOG_PREFIX = "/aws/sagemaker/Endpoints/"
PARAMETER_PATH = "/amazonei"


@dataclass(frozen=True, slots=True)
class Found:
    """A resource a finder came upon."""

    id: str
    deployment: str
    name: str = ""


def stacks(aws: Aws, deployment: str | None) -> Iterator[Found]:
    """Yield the stacks."""
    if deployment is not None:
        stacks = own_stacks(aws, deployment)
    else:
        stacks = tuple(stack for stack in aws.cloudformation.stacks() if stack.deployment is not None)
    for stack in stacks:
        yield Found(stack.name, stack.deployment or deployment or "", f"{stack.name}, {stack.status}")


def instances(aws: Aws, deployment: str | None) -> Iterator[Found]:
    """Yield the hosts that are not terminated."""
    for host in aws.ec2.instances({TAG_DEPLOYMENT: deployment}):
        yield Found(host.instance_id, host.tags[TAG_DEPLOYMENT], f"{host.instance_type}, {host.state}")


def ec2(look: Ec2Look) -> Find:
    """Return the search for one kind of EC2 resource, by tag."""

    def find(aws: Aws, deployment: str | None) -> Iterator[Found]:
        for resource in look(aws.ec2_inventory, {TAG_DEPLOYMENT: deployment}):
            yield Found(resource.id, resource.tags[TAG_DEPLOYMENT], resource.tags.get("Name", ""))

    return find


def iam(look: Callable[[Iam, str], tuple[IamRecord, ...]], identify: Callable[[IamRecord], str]) -> Find:
    """Return the search for one kind of IAM resource, by path."""

    def find(aws: Aws, deployment: str | None) -> Iterator[Found]:
        # An account may want its roles below a path of its own, which nobody but the template knows.
        for record in look(aws.iam, "/"):
            _, is_ours, rest = record.path.partition(IAM_PATH)
            owner, region, *_ = (*rest.split("/"), "")
            # IAM belongs to no region, so a path may name the one whose deployment of this name it serves.
            served_here = deployment is None or region in ("", aws.region)
            if is_ours and deployment in (None, owner) and served_here:
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


def documents(aws: Aws, deployment: str | None) -> Iterator[Found]:
    """Yield the SSM documents."""
    for document in aws.ssm.own_documents():
        owner = document.tags.get(TAG_DEPLOYMENT)
        if owner is not None and deployment in (None, owner):
            yield Found(document.name, owner)


def parameters(aws: Aws, deployment: str | None) -> Iterator[Found]:
    """Yield the SSM parameters."""
    # Parameters can be filtered by a tag's value but not by its key alone.
    if deployment is None:
        names = aws.ssm.parameters_under(PARAMETER_PATH)
    else:
        names = aws.ssm.parameters_tagged(TAG_DEPLOYMENT, deployment)
    for name in names:
        yield Found(name, deployment or name.removeprefix(f"{PARAMETER_PATH}/").partition("/")[0])


def log_groups(aws: Aws, deployment: str | None) -> Iterator[Found]:
    """Yield the log groups, by name."""
    yield from _endpoint_logs(aws, deployment)
    for group in aws.logs.log_groups(LOG_PREFIX):
        owner = group.removeprefix(LOG_PREFIX).partition("/")[0]
        if deployment in (None, owner):
            yield Found(group, owner)


def _endpoint_logs(aws: Aws, deployment: str | None) -> Iterator[Found]:
    """Yield what an endpoint's containers wrote; a late writer makes the group anew."""
    if deployment is not None:  # such a name alone does not say whose it is
        for group in aws.logs.log_groups(f"{ENDPOINT_LOG_PREFIX}{deployment}-"):
            yield Found(group, deployment)


def sagemaker(
    look: Callable[[SageMaker], tuple[NamedResource, ...]],
) -> Find:
    """Return the search for one kind of SageMaker resource, by tag."""

    def find(aws: Aws, deployment: str | None) -> Iterator[Found]:
        for resource in look(aws.sagemaker):
            owner = aws.sagemaker.tags(resource.arn).get(TAG_DEPLOYMENT)
            if owner is not None and deployment in (None, owner):
                yield Found(resource.name, owner)

    return find


def repairs(aws: Aws, deployment: str | None) -> Iterator[Found]:
    """Yield the networks of others that were repaired for the deployment."""
    key = tag_key(deployment or "*")
    networks = aws.ec2_network
    tagged = [(each.endpoint_id, each.tags) for each in networks.endpoints_tagged(key)]
    tagged += [(each.vpc_id, each.tags) for each in networks.vpcs_tagged(key)]
    for identifier, tags in tagged:
        for name, changes in tags.items():
            if name.startswith(TAG_PREFIX) and deployment in (None, name.removeprefix(TAG_PREFIX)):
                yield Found(identifier, name.removeprefix(TAG_PREFIX), changes)


def groups(aws: Aws, deployment: str | None) -> Iterator[Found]:
    """Yield the groups of hosts."""
    for group in aws.autoscaling.groups({TAG_DEPLOYMENT: deployment}):
        yield Found(group.name, group.tags[TAG_DEPLOYMENT], f"{group.size} hosts")
