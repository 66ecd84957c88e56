"""Which stacks are a deployment's: the tag decides, and names only where a stack can have no tags yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artifacts.targets import catalogue
from provisioning.deployment import TAG_DEPLOYMENT

if TYPE_CHECKING:
    from provisioning.aws import Aws
    from provisioning.aws.cloudformation import StackRecord


def possible_stack_names(deployment: str) -> frozenset[str]:
    """Return every name a stack of the deployment can have (see `DeploymentSpec.host_stack`)."""
    hosts = (f"{deployment}-{accelerator.replace('.', '-')}" for accelerator in catalogue())
    endpoints = (f"{deployment}-endpoint-{accelerator.replace('.', '-')}" for accelerator in catalogue())
    return frozenset({deployment, f"{deployment}-guard", *hosts, *endpoints})


def is_own(aws: Aws, stack: StackRecord, deployment: str) -> bool:
    """Return whether the stack is the deployment's.

    An interrupted setup leaves a stack in REVIEW_IN_PROGRESS: nothing but a change set, whose tags the
    stack gets when it is executed. Such a stack is ours by its exact name, unless a change set says
    otherwise.
    """
    if stack.deployment is not None or not stack.in_review or stack.tags:
        return stack.deployment == deployment
    if stack.name not in possible_stack_names(deployment):
        return False
    change_sets = aws.cloudformation.change_sets(stack.name)
    return all(
        aws.cloudformation.describe_change_set(stack.name, name).tags.get(TAG_DEPLOYMENT) == deployment
        for name in change_sets
    )


def own_stacks(aws: Aws, deployment: str) -> tuple[StackRecord, ...]:
    """Return the deployment's stacks, by tag and by name."""
    return tuple(stack for stack in aws.cloudformation.stacks() if is_own(aws, stack, deployment))
