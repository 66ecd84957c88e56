from __future__ import annotations

import pytest

from provisioning.errors import HostFailed
from provisioning.registration import wait_for_hosts
from tests.provisioning.declared import DeclaredAws, StillClock, declare_aws

TAGS = {"amazonei:deployment": "demo", "amazonei:accelerator": "c7i.xlarge"}


@pytest.fixture
def world() -> DeclaredAws:
    return declare_aws()


def wait(
    world: DeclaredAws, count: int, lines: list[str], clock: StillClock | None = None
) -> tuple[str, ...]:
    return wait_for_hosts(
        world.aws,
        TAGS,
        count,
        deadline_s=60,
        on_progress=lines.append,
        clock=clock or StillClock(),
    )


def test_hosts_are_ready_when_as_many_as_expected_are_online(world: DeclaredAws) -> None:
    for name, looks in (("i-1", 0), ("i-2", 3)):
        world.ec2.declare_host(name, TAGS)
        world.ssm.declare_agent(name, looks_until_online=looks)
    world.ec2.declare_host("i-other", {**TAGS, "amazonei:deployment": "other"})
    world.ssm.declare_agent("i-other")
    lines: list[str] = []
    assert wait(world, 2, lines) == ("i-1", "i-2")
    assert lines == ["i-1 can take commands", "i-2 can take commands"]


def test_the_hosts_that_stay_silent_are_named(world: DeclaredAws) -> None:
    world.ec2.declare_host("i-1", TAGS)
    world.ssm.declare_agent("i-1")
    world.ec2.declare_host("i-2", TAGS, state="pending")
    clock = StillClock()
    lines: list[str] = []
    with pytest.raises(HostFailed) as caught:
        wait(world, 2, lines, clock)
    assert caught.value.message == "1 of 2 hosts could take commands after 60 s; silent: i-2 (pending)."
    assert clock.now - 1000 == 60
    assert "1 of 2 hosts can take commands after" in lines[-1]


def test_a_host_that_was_never_made_is_told_as_missing(world: DeclaredAws) -> None:
    with pytest.raises(HostFailed, match="0 of 1 hosts could take commands after 60 s; no other host exists"):
        wait(world, 1, [])
