from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from provisioning.aws.ssm import CommandRecord
from provisioning.commands import CommandFailed, HostCommand, HostOutcome, run_on_hosts
from provisioning.errors import NotFound
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


def run(
    world: DeclaredAws,
    command: HostCommand = COMMAND,
    *,
    lines: list[str] | None = None,
    clock: StillClock | None = None,
) -> tuple[HostOutcome, ...]:
    told = lines if lines is not None else []
    return run_on_hosts(
        world.aws,
        command,
        on_progress=told.append,
        on_host=lambda host, state: told.append(f"{host}: {state}"),
        clock=clock or StillClock(),
    )


def test_each_change_of_state_is_told_once_and_outcomes_come_back(world: DeclaredAws) -> None:
    world.ec2.declare_host("i-1", TAGS)
    world.ssm.declare_agent("i-1", "unlisted", "Pending", "InProgress", "InProgress", "Success", stdout="{}")
    lines: list[str] = []
    (outcome,) = run(world, lines=lines)
    assert (outcome.instance_id, outcome.succeeded, outcome.output) == ("i-1", True, "{}")
    assert lines == ["i-1 can take commands", "i-1: Pending", "i-1: InProgress", "i-1: Success"]
    (request,) = world.ssm.sent
    assert (request.document, request.tags, request.delivery_timeout_s) == ("doc", TAGS, 120)


def test_a_process_that_ended_badly_is_an_outcome_with_its_words(world: DeclaredAws) -> None:
    world.ec2.declare_host("i-1", TAGS)
    world.ssm.declare_agent("i-1", "Failed", code=4, stderr="no such model")
    (outcome,) = run(world)
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
        run(world)
    first, *tail = caught.value.message.splitlines()
    assert first == f"The command ended {detail} on i-2."
    assert tail == [f"line {number}" for number in range(25, 40)]
    assert [outcome.instance_id for outcome in caught.value.outcomes] == ["i-1", "i-2"]


def test_past_both_timeouts_and_a_minute_the_command_is_cancelled(world: DeclaredAws) -> None:
    world.ec2.declare_host("i-1", TAGS)
    world.ssm.declare_agent("i-1", "InProgress")
    clock = StillClock()
    with pytest.raises(CommandFailed, match="had not ended after 480 s on i-1; it was cancelled"):
        run(world, clock=clock)
    assert clock.now - 1000 == 120 + 300 + 60
    assert world.ssm.cancelled == ["command-1"]


@pytest.mark.parametrize(("hosts", "pages"), [(1, 1), (50, 1), (500, 10)])
def test_a_fleet_of_any_size_gets_one_command_and_is_asked_page_by_page(
    world: DeclaredAws, hosts: int, pages: int
) -> None:
    names = declare_fleet(world, hosts)
    outcomes = run(world)
    assert [outcome.instance_id for outcome in outcomes] == names
    assert Counter(world.ssm.calls) == {
        "DescribeInstanceInformation": pages,
        "SendCommand": 1,
        "ListCommandInvocations": 2 * pages,  # one look at states, one reading of outputs
    }


def declare_fleet(world: DeclaredAws, hosts: int, *walk: str) -> list[str]:
    names = [f"i-{number:03}" for number in range(hosts)]
    for name in names:
        world.ec2.declare_host(name, TAGS)
        world.ssm.declare_agent(name, *walk)
    return names


def test_many_failures_are_explained_by_a_few_whole_outputs(world: DeclaredAws) -> None:
    declare_fleet(world, 120, "Failed")
    outcomes = run(world)
    assert len(outcomes) == 120
    assert Counter(world.ssm.calls)["GetCommandInvocation"] == 3


def test_hosts_that_are_listed_late_are_waited_for(world: DeclaredAws) -> None:
    declare_fleet(world, 2, "Success")
    world.ec2.declare_host("i-late", TAGS)
    world.ssm.declare_agent("i-late", "unlisted", "unlisted", "InProgress", "Success")
    lines: list[str] = []
    outcomes = run(world, lines=lines)
    assert [outcome.status for outcome in outcomes] == ["Success"] * 3
    assert lines[-2:] == ["i-late: InProgress", "i-late: Success"]


def interrupt() -> None:
    raise KeyboardInterrupt


class InterruptedClock(StillClock):
    def sleep(self, seconds: float) -> None:
        raise KeyboardInterrupt


def test_an_interruption_says_which_command_goes_on_where_and_does_not_cancel_it(world: DeclaredAws) -> None:
    declare_fleet(world, 2, "InProgress")
    world.ec2.declare_host("i-done", TAGS)
    world.ssm.declare_agent("i-done")

    def interrupt_the_second_look() -> None:
        world.ssm.on_look = interrupt

    world.ssm.on_look = interrupt_the_second_look
    with pytest.raises(KeyboardInterrupt) as caught:
        run(world)
    (note,) = caught.value.__notes__
    assert note.splitlines() == [
        "Its command command-1 goes on without it, on i-000, i-001, also where it has not begun.",
        "To end that too: aws ssm cancel-command --region us-west-2 --command-id command-1",
    ]
    assert world.ssm.cancelled == []


def test_an_interruption_before_the_command_leaves_nothing_going(world: DeclaredAws) -> None:
    declare_fleet(world, 1)
    world.ssm.looks_until_online["i-000"] = 1
    with pytest.raises(KeyboardInterrupt) as caught:
        run(world, clock=InterruptedClock())
    assert not hasattr(caught.value, "__notes__")


def test_hosts_whose_turn_never_came_are_not_waited_for(world: DeclaredAws) -> None:
    declare_fleet(world, 1, "Failed")
    world.ec2.declare_host("i-later", TAGS)
    world.ssm.declare_agent("i-later", "unlisted")
    world.ssm.state = CommandRecord(status="Failed", detail="Failed")
    outcomes = run(world)
    assert [(outcome.instance_id, outcome.status) for outcome in outcomes] == [
        ("i-000", "Failed"),
        ("i-later", "Unsent"),
    ]


@pytest.mark.parametrize(("wave", "concurrency", "delivery_s"), [(0, "100%", 120), (20, "20", 120 + 2 * 300)])
def test_later_waves_get_the_time_that_earlier_ones_may_take(
    world: DeclaredAws, wave: int, concurrency: str, delivery_s: int
) -> None:
    declare_fleet(world, 60)
    run(world, dataclasses.replace(COMMAND, wave=wave, max_errors="0"))
    (request,) = world.ssm.sent
    assert (request.max_concurrency, request.max_errors) == (concurrency, "0")
    assert request.delivery_timeout_s == delivery_s


def test_a_command_for_no_host_is_not_sent(world: DeclaredAws) -> None:
    with pytest.raises(NotFound, match=r"amazonei:accelerator=c7i\.xlarge in us-west-2"):
        run(world)
    assert world.ssm.sent == []
