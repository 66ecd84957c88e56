"""How the guard's own resources, and the keys of endpoints, are looked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provisioning.deployment import TAG_DEPLOYMENT
from provisioning.searches import Found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provisioning.aws import Aws

BUDGET_PREFIX = "amazonei/"


def schedule_groups(aws: Aws, deployment: str | None) -> Iterator[Found]:
    """Yield the schedule groups that carry the deployment's tag."""
    for group in aws.scheduler.groups(deployment):
        owner = aws.scheduler.tags(group.arn).get(TAG_DEPLOYMENT)
        if owner is not None and deployment in (None, owner):
            yield Found(group.name, owner)


def queues(aws: Aws, deployment: str | None) -> Iterator[Found]:
    """Yield the queues that carry the deployment's tag."""
    for url in aws.sqs.queues(deployment):
        owner = aws.sqs.tags(url).get(TAG_DEPLOYMENT)
        if owner is not None and deployment in (None, owner):
            yield Found(url, owner)


def failed_deletions(aws: Aws, deployment: str | None) -> Iterator[Found]:
    """Yield the stacks that a guard could not delete, each once, with what CloudFormation answered it."""
    told: set[tuple[str, str]] = set()
    for queue in queues(aws, deployment):
        for letter in aws.sqs.letters(queue.id):
            if (letter.stack, letter.reason) not in told:
                told.add((letter.stack, letter.reason))
                yield Found(letter.stack or letter.id, queue.deployment, letter.reason or "no reason given")


def budgets(aws: Aws, deployment: str | None) -> Iterator[Found]:
    """Yield our budgets; a budget is named amazonei/<deployment>/<region>."""
    for name in aws.budgets.names(aws.sts.caller_identity().account):
        owner, _, region = name.removeprefix(BUDGET_PREFIX).partition("/")
        if name.startswith(BUDGET_PREFIX) and region == aws.region and deployment in (None, owner):
            yield Found(name, owner)


def keys(aws: Aws, deployment: str | None) -> Iterator[Found]:
    """Yield the keys in use; one that waits for its deletion is as good as gone."""
    for key in aws.kms.key_ids():
        if aws.kms.is_in_use(key):
            owner = aws.kms.tags(key).get(TAG_DEPLOYMENT)
            if owner is not None and deployment in (None, owner):
                yield Found(key, owner)
