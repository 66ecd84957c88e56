from __future__ import annotations

import pytest

from provisioning.commands import CommandFailed, HostCommand, run_on_hosts, wait_for_hosts
from provisioning.errors import HostFailed, NotFound
from tests.provisioning.declared import DeclaredAws, StillClock, declare_aws

TAGS = {"amazonei:deployment": "demo", "amazonei:accelerator": "c7i.xlarge"}
COMMAND = HostCommand(
    document="doc",
    parameters={"Operation": "status"},
    tags=TAGS,
    delivery_timeout_s=120,
    execution_timeout_s=300,
)


@pytest.fixture
def world() -> DeclaredAws:
    return declare_aws()


def wait(
    world: DeclaredAws, count: int, lines: list[str], clock: StillClock | None = None
) -> tuple[str, ...]:
    return wait_for_hosts(
        world.aws, TAGS, count, deadline_s=60, on_progress=lines.append, clock=clock or StillClock()
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


def test_each_change_of_state_is_told_once_and_outcomes_come_back(world: DeclaredAws) -> None:
    world.ec2.declare_host("i-1", TAGS)
    world.ssm.declare_agent("i-1", "unlisted", "Pending", "InProgress", "InProgress", "Success", stdout="{}")
    lines: list[str] = []
    (outcome,) = run_on_hosts(world.aws, COMMAND, on_progress=lines.append, clock=StillClock())
    assert (outcome.instance_id, outcome.succeeded, outcome.stdout) == ("i-1", True, "{}")
    assert lines == ["i-1 can take commands", "i-1: Pending", "i-1: InProgress", "i-1: Success"]
    (request,) = world.ssm.sent
    assert (request.document, list(request.instance_ids), request.delivery_timeout_s) == ("doc", ["i-1"], 120)


def test_a_process_that_ended_badly_is_an_outcome_with_its_words(world: DeclaredAws) -> None:
    world.ec2.declare_host("i-1", TAGS)
    world.ssm.declare_agent("i-1", "Failed", code=4, stderr="no such model")
    (outcome,) = run_on_hosts(world.aws, COMMAND, on_progress=lambda _line: None, clock=StillClock())
    assert (outcome.succeeded, outcome.response_code, outcome.stderr) == (False, 4, "no such model")


@pytest.mark.parametrize("detail", ["Undeliverable", "DeliveryTimedOut", "ExecutionTimedOut", "Cancelled"])
def test_a_command_that_did_not_end_by_itself_fails_with_all_outcomes(
    world: DeclaredAws, detail: str
) -> None:
    for name in ("i-1", "i-2"):
        world.ec2.declare_host(name, TAGS)
    world.ssm.declare_agent("i-1")
    stderr = "\n".join(f"line {number}" for number in range(40))
    world.ssm.declare_agent("i-2", detail, stderr=stderr)
    with pytest.raises(CommandFailed) as caught:
        run_on_hosts(world.aws, COMMAND, on_progress=lambda _line: None, clock=StillClock())
    first, *tail = caught.value.message.splitlines()
    assert first == f"The command ended {detail} on i-2."
    assert tail == [f"line {number}" for number in range(25, 40)]
    assert [outcome.instance_id for outcome in caught.value.outcomes] == ["i-1", "i-2"]


def test_past_both_timeouts_and_a_minute_the_command_is_cancelled(world: DeclaredAws) -> None:
    world.ec2.declare_host("i-1", TAGS)
    world.ssm.declare_agent("i-1", "InProgress")
    clock = StillClock()
    with pytest.raises(CommandFailed, match="had not ended after 480 s on i-1; it was cancelled"):
        run_on_hosts(world.aws, COMMAND, on_progress=lambda _line: None, clock=clock)
    assert clock.now - 1000 == 120 + 300 + 60
    assert world.ssm.cancelled == ["command-1"]


def test_a_large_fleet_gets_as_many_commands_as_it_takes(world: DeclaredAws) -> None:
    names = [f"i-{number:03}" for number in range(51)]
    for name in names:
        world.ec2.declare_host(name, TAGS)
        world.ssm.declare_agent(name)
    outcomes = run_on_hosts(world.aws, COMMAND, on_progress=lambda _line: None, clock=StillClock())
    assert [outcome.instance_id for outcome in outcomes] == names
    assert [len(request.instance_ids) for request in world.ssm.sent] == [50, 1]


def test_a_command_for_no_host_is_not_sent(world: DeclaredAws) -> None:
    with pytest.raises(NotFound, match=r"amazonei:accelerator=c7i\.xlarge in us-west-2"):
        run_on_hosts(world.aws, COMMAND, on_progress=lambda _line: None, clock=StillClock())
    assert world.ssm.sent == []
