"""A deployment as AWS shows it: found by its name alone, from any machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from artifacts.errors import BadRequest
from provisioning.errors import NotFound

if TYPE_CHECKING:
    from provisioning.aws import Aws
    from provisioning.aws.cloudformation import StackRecord
    from provisioning.aws.ec2 import InstanceRecord

TAG_DEPLOYMENT = "amazonei:deployment"
TAG_ACCELERATOR = "amazonei:accelerator"
TAG_EXPIRES = "amazonei:expires-at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """The stacks, the bucket, the document and the hosts of a deployment."""

    name: str
    stacks: tuple[StackRecord, ...]
    bucket: str
    document: str
    hosts: tuple[InstanceRecord, ...]

    @property
    def accelerators(self) -> tuple[str, ...]:
        """The accelerators there are hosts of, by name."""
        return tuple(sorted({host.tags.get(TAG_ACCELERATOR, "") for host in self.hosts}))

    def hosts_of(self, accelerator: str) -> tuple[InstanceRecord, ...]:
        """Return the hosts of one accelerator."""
        return tuple(host for host in self.hosts if host.tags.get(TAG_ACCELERATOR) == accelerator)

    def is_balanced(self, accelerator: str) -> bool:
        """Return whether clients reach the accelerator's hosts through a load balancer."""
        names = {self.name, f"{self.name}-{accelerator.replace('.', '-')}"}
        return any("BalancerUrl" in stack.outputs for stack in self.stacks if stack.name in names)

    def wave(self, accelerator: str, wanted: int) -> int:
        """Return how many hosts may switch at once; 0: all.

        Behind a load balancer at most half of them: those that switch are out of rotation, and the balancer
        needs the others.
        """
        if not self.is_balanced(accelerator):
            return wanted
        half = max(1, len(self.hosts_of(accelerator)) // 2)
        return min(wanted or half, half)

    def choose(self, accelerator: str | None) -> str:
        """Return the accelerator meant: the one named, or the only one there is.

        Raises `BadRequest` when it is not part of the deployment, or when several are and none was named.
        """
        there = ", ".join(self.accelerators)
        if accelerator is None:
            if len(self.accelerators) == 1:
                return self.accelerators[0]
            if not self.hosts:
                raise BadRequest(
                    f"Deployment {self.name} has no hosts.",
                    "An endpoint of it is reached with --to sagemaker; hosts that ended come back by tearing "
                    "the deployment down and setting it up again.",
                )
            raise BadRequest(
                f"Deployment {self.name} has several accelerators.", f"Pass --accelerator, one of: {there}."
            )
        if accelerator not in self.accelerators:
            raise BadRequest(
                f"Deployment {self.name} has no {accelerator} host.", f"It has: {there or 'no hosts at all'}."
            )
        return accelerator


def observe_deployment(aws: Aws, name: str) -> Deployment:
    """Ask AWS for the deployment; raise `NotFound` when its foundation stack does not exist."""
    stacks = aws.cloudformation.list_stacks_of(name)
    foundation = next((stack for stack in stacks if stack.name == name), None)
    if foundation is None or "ArtifactBucket" not in foundation.outputs:
        raise NotFound(
            f"There is no deployment {name!r} in {aws.region}.",
            f"Make it with: amazonei setup --name {name} --region {aws.region}",
        )
    return Deployment(
        name=name,
        stacks=stacks,
        bucket=foundation.outputs["ArtifactBucket"],
        document=foundation.outputs["DocumentName"],
        hosts=aws.ec2.instances({TAG_DEPLOYMENT: name}),
    )
