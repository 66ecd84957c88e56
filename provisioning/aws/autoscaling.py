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
    """A group, the size it is to have, and its tags."""

    name: str
    size: int
    tags: Mapping[str, str]


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
            )
            for page in pages
            for group in page["AutoScalingGroups"]
        )
