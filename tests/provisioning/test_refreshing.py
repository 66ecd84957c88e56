"""Hosts of an older launch template are replaced by their group, and its progress is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from provisioning.aws.autoscaling import AutoScaling, GroupRecord, RefreshRecord
from provisioning.errors import AwsError
from provisioning.refreshing import refresh_hosts
from tests.provisioning.declared import DeclaredAws, StillClock, declare_aws

if TYPE_CHECKING:
    from collections.abc import Mapping


def seen(status: str, percent: int, reason: str = "") -> RefreshRecord:
    return RefreshRecord(status=status, percent=percent, reason=reason)


@dataclass
class DeclaredGroups(AutoScaling):
    outdated: tuple[str, ...] = ("i-1", "i-2")
    story: list[RefreshRecord] = field(default_factory=list)
    started: list[tuple[str, int, int]] = field(default_factory=list)
    asked: list[str | None] = field(default_factory=list)
    refusal: str = ""

    def groups(self, tags: Mapping[str, str | None]) -> tuple[GroupRecord, ...]:
        assert tags == {"amazonei:deployment": "demo", "amazonei:accelerator": "c7i.xlarge"}
        return (GroupRecord(name="g", size=3, tags={}, outdated=self.outdated),)

    def start_refresh(self, group: str, healthy_percent: int, warm_up_s: int) -> str:
        if self.refusal:
            raise AwsError("no", aws_code=self.refusal)
        self.started.append((group, healthy_percent, warm_up_s))
        return "r-1"

    def refresh(self, group: str, refresh: str | None) -> RefreshRecord:
        self.asked.append(refresh)
        return self.story.pop(0) if len(self.story) > 1 else self.story[0]


@pytest.fixture
def groups() -> DeclaredGroups:
    return DeclaredGroups(story=[seen("Pending", 0), seen("InProgress", 0), seen("InProgress", 50)])


@pytest.fixture
def world(groups: DeclaredGroups) -> DeclaredAws:
    declared = declare_aws()
    declared.aws.autoscaling = groups
    return declared


def refresh(world: DeclaredAws) -> tuple[bool, list[str]]:
    lines: list[str] = []
    return refresh_hosts(world.aws, "demo", "c7i.xlarge", clock=StillClock(), say=lines.append), lines


def test_progress_is_told_until_all_are_new(world: DeclaredAws, groups: DeclaredGroups) -> None:
    groups.story.append(seen("Successful", 100))
    assert refresh(world) == (
        True,
        [
            "replacing 2 of 3 c7i.xlarge hosts",
            "0 % of the hosts are new",
            "50 % of the hosts are new",
            "100 % of the hosts are new",
        ],
    )
    assert groups.started == [("g", 50, 600)]


def test_where_all_are_new_nothing_is_started(world: DeclaredAws, groups: DeclaredGroups) -> None:
    groups.outdated = ()
    assert refresh(world) == (False, ["every c7i.xlarge host comes from the newest launch template"])
    assert groups.started == []


def test_one_that_an_earlier_command_started_is_followed(world: DeclaredAws, groups: DeclaredGroups) -> None:
    groups.refusal = "InstanceRefreshInProgress"
    groups.story.append(seen("Successful", 100))
    assert refresh(world)[0]
    assert set(groups.asked) == {None}


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (seen("Failed", 50, "no capacity"), "Failed: no capacity"),
        (seen("Cancelled", 50), "Cancelled: no reason given"),
        (seen("InProgress", 50), "it had not ended after 6 hours, and goes on"),
    ],
)
def test_one_that_does_not_end_well_says_why(
    world: DeclaredAws, groups: DeclaredGroups, end: RefreshRecord, told: str
) -> None:
    groups.story.append(end)
    with pytest.raises(AwsError) as failed:
        refresh(world)
    assert failed.value.message == f"The hosts of g were not all replaced: {told}."


def test_another_refusal_is_passed_on(world: DeclaredAws, groups: DeclaredGroups) -> None:
    groups.refusal = "LimitExceeded"
    with pytest.raises(AwsError, match="no"):
        refresh(world)
