"""Replace the hosts of a group that come from an older launch template, a few at a time.

The group does it itself, by an instance refresh, and goes on with the laptop closed:
https://docs.aws.amazon.com/autoscaling/ec2/userguide/asg-instance-refresh.html
New hosts serve by themselves what the others serve (ADR 26). The group cannot see that, since nobody tells
it, so a new host counts only after the time that hosts are given to boot, install and enter the rotation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provisioning.deployment import TAG_ACCELERATOR, TAG_DEPLOYMENT
from provisioning.errors import AwsError
from provisioning.waiting import DeadlinePassed, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from provisioning.aws import Aws
    from provisioning.aws.autoscaling import GroupRecord
    from provisioning.waiting import Clock

HEALTHY_PERCENT = 50  # of the hosts, that stay while others are replaced
WARM_UP_S = 10 * 60
DEADLINE_S = 6 * 3600.0
IN_PROGRESS = "InstanceRefreshInProgress"
ONGOING = ("Pending", "InProgress", "Baking", "Cancelling")


def refresh_hosts(
    aws: Aws, deployment: str, accelerator: str, *, clock: Clock, say: Callable[[str], None]
) -> bool:
    """Replace the accelerator's hosts that are of an older template; return whether there were any.

    Raises `AwsError` with AWS's reason when the refresh does not end well: the hosts that it had not come to
    are as they were.
    """
    tags = {TAG_DEPLOYMENT: deployment, TAG_ACCELERATOR: accelerator}
    outdated = [group for group in aws.autoscaling.groups(tags) if group.outdated]
    for group in outdated:
        say(f"replacing {len(group.outdated)} of {group.size} {accelerator} hosts")
        _refresh(aws, group, clock, say)
    if not outdated:
        say(f"every {accelerator} host comes from the newest launch template")
    return bool(outdated)


def _start(aws: Aws, group: GroupRecord) -> str | None:
    """Return the refresh that was started, or None for the one that an earlier command has started."""
    try:
        return aws.autoscaling.start_refresh(group.name, HEALTHY_PERCENT, WARM_UP_S)
    except AwsError as error:
        if error.aws_code != IN_PROGRESS:
            raise
        return None


def _refresh(aws: Aws, group: GroupRecord, clock: Clock, say: Callable[[str], None]) -> None:
    refresh = _start(aws, group)
    told: list[int] = []

    def look() -> str | None:
        seen = aws.autoscaling.refresh(group.name, refresh)
        if seen.percent not in told[-1:]:
            told.append(seen.percent)
            say(f"{seen.percent} % of the hosts are new")
        if seen.status in ONGOING:
            return None
        return "" if seen.status == "Successful" else f"{seen.status}: {seen.reason or 'no reason given'}"

    try:
        problem = wait_for(look, deadline_s=DEADLINE_S, clock=clock)
    except DeadlinePassed:
        problem = "it had not ended after 6 hours, and goes on"
    if problem:
        raise AwsError(
            f"The hosts of {group.name} were not all replaced: {problem}.",
            "Those it had not come to are as they were. Mend the cause, then repeat setup with --refresh.",
            operation="autoscaling:StartInstanceRefresh",
        )
