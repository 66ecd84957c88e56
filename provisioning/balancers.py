"""Load balancers and target groups: found by tag, and removed where no stack owns them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioning.deployment import TAG_DEPLOYMENT
from provisioning.errors import AwsError
from provisioning.searches import Found
from provisioning.waiting import DeadlinePassed, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    from provisioning.aws import Aws
    from provisioning.aws.elbv2 import BalancingRecord, Elbv2
    from provisioning.searches import Find
    from provisioning.waiting import Clock

IN_USE = "ResourceInUse"
# A balancer that was deleted lets go of its target groups a little later.
RELEASED_S = 2 * 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveBalancer:
    """Delete a load balancer or a target group of the deployment that no stack of it owns."""

    kind: str  # "load balancer" or "target group"
    arn: str
    name: str

    def describe(self) -> str:
        """Return the line a person reads before accepting the step."""
        return f"delete {self.kind} {self.name}"


def search(look: Callable[[Elbv2], tuple[BalancingRecord, ...]]) -> Find:
    """Return the search for load balancers or for target groups, by tag."""

    def find(aws: Aws, deployment: str | None) -> Iterator[Found]:
        records = {record.arn: record for record in look(aws.elbv2)}
        for arn, tags in aws.elbv2.tags(list(records)).items():
            owner = tags.get(TAG_DEPLOYMENT)
            if owner is not None and deployment in (None, owner):
                yield Found(arn, owner, records[arn].name)

    return find


load_balancers = search(lambda elbv2: elbv2.load_balancers())
target_groups = search(lambda elbv2: elbv2.target_groups())


def find_loose(aws: Aws, deployment: str, owned: Container[str]) -> tuple[RemoveBalancer, ...]:
    """Return the removal of what is in none of the stacks: balancers first, then what they sent to."""
    return tuple(
        RemoveBalancer(kind=kind, arn=found.id, name=found.name)
        for kind, find in (("load balancer", load_balancers), ("target group", target_groups))
        for found in find(aws, deployment)
        if found.id not in owned
    )


def remove(aws: Aws, step: RemoveBalancer, clock: Clock) -> None:
    """Delete it; what is still in use after two minutes stays, and verification tells it."""
    if step.kind == "load balancer":
        aws.elbv2.delete_load_balancer(step.arn)
        return

    def attempt() -> bool | None:
        try:
            aws.elbv2.delete_target_group(step.arn)
        except AwsError as error:
            if error.aws_code != IN_USE:
                raise
            return None
        return True

    try:
        wait_for(attempt, deadline_s=RELEASED_S, clock=clock)
    except DeadlinePassed:
        return
