"""Auto Scaling: the groups that hosts belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provisioning.aws.tags import as_filters, as_mapping
from provisioning.aws.translation import translated

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRecord:
    """A group, the size it is to have, its tags, and its hosts from another launch template version."""

    name: str
    size: int
    tags: Mapping[str, str]
    outdated: tuple[str, ...] = ()  # instance ids


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshRecord:
    """How far the replacement of a group's hosts is."""

    status: str
    percent: int
    reason: str


class AutoScaling:
    """The Auto Scaling calls this project makes."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @translated("autoscaling:DescribeAutoScalingGroups")
    def groups(self, tags: Mapping[str, str | None]) -> tuple[GroupRecord, ...]:
        """Return the groups with these tags (None: any value)."""
        pages = self._client.get_paginator("describe_auto_scaling_groups").paginate(Filters=as_filters(tags))
        return tuple(
            GroupRecord(
                name=group["AutoScalingGroupName"],
                size=group["DesiredCapacity"],
                tags=as_mapping(group.get("Tags", [])),
                outdated=_outdated(group),
            )
            for page in pages
            for group in page["AutoScalingGroups"]
        )

    @translated("autoscaling:StartInstanceRefresh")
    def start_refresh(self, group: str, healthy_percent: int, warm_up_s: int) -> str:
        """Let a group replace its hosts of an older launch template; return the refresh's id."""
        answer = self._client.start_instance_refresh(
            AutoScalingGroupName=group,
            Strategy="Rolling",
            Preferences={
                "MinHealthyPercentage": healthy_percent,
                "InstanceWarmup": warm_up_s,
                "SkipMatching": True,
            },
        )
        return str(answer["InstanceRefreshId"])

    @translated("autoscaling:DescribeInstanceRefreshes")
    def refresh(self, group: str, refresh: str | None) -> RefreshRecord:
        """Return how far a refresh is; None is the group's latest."""
        wanted = {"InstanceRefreshIds": [refresh]} if refresh else {}
        answer = self._client.describe_instance_refreshes(AutoScalingGroupName=group, **wanted)
        found = answer["InstanceRefreshes"][0]
        return RefreshRecord(
            status=found["Status"],
            percent=int(found.get("PercentageComplete", 0)),
            reason=found.get("StatusReason", ""),
        )


def _outdated(group: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the hosts whose launch template is another version than the group's."""
    wanted = (group.get("LaunchTemplate") or {}).get("Version")
    return tuple(
        host["InstanceId"]
        for host in group.get("Instances", [])
        if (host.get("LaunchTemplate") or {}).get("Version") != wanted
    )
