"""EventBridge Scheduler: groups of schedules, which carry the tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provisioning.aws.tags import as_mapping
from provisioning.aws.translation import translated

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleGroupRecord:
    """A group of schedules."""

    name: str
    arn: str


class Scheduler:
    """The EventBridge Scheduler calls this project makes."""

    def __init__(self, client: Any) -> None:  # its types are not among those we install
        self._client = client

    @translated("scheduler:ListScheduleGroups")
    def groups(self, prefix: str | None = None) -> tuple[ScheduleGroupRecord, ...]:
        """Return the groups whose names begin with the prefix; AWS's own default group is none."""
        wanted = {"NamePrefix": prefix} if prefix else {}
        pages = self._client.get_paginator("list_schedule_groups").paginate(**wanted)
        return tuple(
            ScheduleGroupRecord(name=group["Name"], arn=group["Arn"])
            for page in pages
            for group in page["ScheduleGroups"]
            if group["Name"] != "default"
        )

    @translated("scheduler:ListTagsForResource")
    def tags(self, arn: str) -> Mapping[str, str]:
        """Return the tags of a group."""
        return as_mapping(self._client.list_tags_for_resource(ResourceArn=arn)["Tags"])
