"""Wait until hosts have registered with Systems Manager, so that commands reach them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provisioning.aws.ssm import INSTANCES_PER_FILTER
from provisioning.errors import HostFailed
from provisioning.waiting import DeadlinePassed, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from provisioning.aws import Aws
    from provisioning.waiting import Clock

UNREGISTERED = (
    "See what the host says: aws ec2 get-console-output --instance-id ID. Systems Manager must be "
    "reachable from its subnet, and its role must allow the agent to register."
)


def wait_for_hosts(
    aws: Aws,
    tags: Mapping[str, str],
    count: int,
    *,
    deadline_s: float,
    on_progress: Callable[[str], None],
    clock: Clock,
) -> tuple[str, ...]:
    """Return the ids of the hosts with these tags once `count` of them can take commands.

    Raises `HostFailed` naming those that cannot, when the deadline has passed.
    """
    told: set[str] = set()

    def look() -> tuple[str, ...] | None:
        online = _online(aws, tags)
        for instance_id in sorted(online - told):
            on_progress(f"{instance_id} can take commands")
        told.update(online)
        return tuple(sorted(online)) if len(online) >= count else None

    try:
        return wait_for(
            look,
            deadline_s=deadline_s,
            clock=clock,
            on_heartbeat=lambda waited: on_progress(
                f"{len(told)} of {count} hosts can take commands after {waited:.0f} s"
            ),
        )
    except DeadlinePassed:
        raise HostFailed(_missing(aws, tags, count, deadline_s), UNREGISTERED) from None


def _online(aws: Aws, tags: Mapping[str, str]) -> set[str]:
    ids = [host.instance_id for host in aws.ec2.instances(dict(tags)) if host.state == "running"]
    return {
        host.instance_id
        for batch in _batches(ids)
        for host in aws.ssm.managed_hosts(batch)
        if host.ping == "Online"
    }


def _missing(aws: Aws, tags: Mapping[str, str], count: int, deadline_s: float) -> str:
    online = _online(aws, tags)
    silent = [
        f"{host.instance_id} ({host.state})"
        for host in aws.ec2.instances(dict(tags))
        if host.instance_id not in online
    ]
    told = f"; silent: {', '.join(silent)}" if silent else "; no other host exists"
    return f"{len(online)} of {count} hosts could take commands after {deadline_s:.0f} s{told}."


def _batches(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + INSTANCES_PER_FILTER] for start in range(0, len(ids), INSTANCES_PER_FILTER)]
