from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from moto.ssm.exceptions import SSMException

from provisioning.emulator.invocation import Status
from provisioning.emulator.waves import RateControl, Waves
from tests.provisioning.emulator.emulated import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.provisioning.emulator.emulated import Emulated

FLEET = [{"Key": "tag:fleet", "Values": ["waves"]}]


@pytest.fixture(scope="module")
def fleet(aws: Emulated) -> Iterator[list[str]]:
    hosts = sorted(aws.launch(tags={"fleet": "waves"}) for _ in range(4))
    yield [aws.await_online(host) for host in hosts]
    aws.ec2.terminate_instances(InstanceIds=hosts)


def send(aws: Emulated, script: str, **control: str) -> dict[str, Any]:
    sent = aws.ssm.send_command(
        DocumentName="AWS-RunShellScript", Targets=FLEET, Parameters={"commands": [script]}, **control
    )
    found: dict[str, Any] = sent["Command"]
    return found


def states(aws: Emulated, command: dict[str, Any]) -> list[str]:
    listed = aws.ssm.list_command_invocations(CommandId=command["CommandId"])["CommandInvocations"]
    return sorted(each["StatusDetails"] for each in listed)


def ended(aws: Emulated, command: dict[str, Any]) -> list[str]:
    eventually(lambda: not {"Pending", "InProgress"} & set(states(aws, command)))
    return states(aws, command)


def test_no_more_hosts_than_allowed_run_at_once(aws: Emulated, fleet: list[str], tmp_path: Path) -> None:
    # Each host waits until it has company, or until all others that are allowed to have come and gone.
    script = (
        f"mkdir {tmp_path}/here.$AMAZONEI_INSTANCE_ID; ls -d {tmp_path}/here.* | wc -l >> {tmp_path}/count; "
        f"sleep 0.2; rmdir {tmp_path}/here.$AMAZONEI_INSTANCE_ID"
    )
    command = send(aws, script, MaxConcurrency="2")
    assert (command["MaxConcurrency"], command["TargetCount"]) == ("2", len(fleet))
    assert ended(aws, command) == ["Success"] * 4
    counts = [int(line) for line in (tmp_path / "count").read_text().split()]
    assert len(counts) == 4
    assert max(counts) <= 2


def test_the_first_failure_keeps_later_hosts_from_beginning(
    aws: Emulated, fleet: list[str], tmp_path: Path
) -> None:
    command = send(aws, f"touch {tmp_path}/$AMAZONEI_INSTANCE_ID; exit 1", MaxConcurrency="1", MaxErrors="0")
    assert ended(aws, command) == ["Failed", "Terminated", "Terminated", "Terminated"]
    assert len(list(tmp_path.iterdir())) == 1
    whole = aws.ssm.list_commands(CommandId=command["CommandId"])["Commands"][0]
    assert (whole["Status"], whole["ErrorCount"], whole["CompletedCount"]) == ("Failed", 1, 4)


def test_errors_within_the_allowance_let_the_command_go_on(aws: Emulated, fleet: list[str]) -> None:
    command = send(aws, "exit 1", MaxConcurrency="1", MaxErrors="50%")
    assert ended(aws, command) == ["Failed", "Failed", "Failed", "Terminated"]


def test_a_percentage_is_of_the_hosts_and_never_less_than_one() -> None:
    control = RateControl(max_concurrency="10%", max_errors="10%")
    assert [control.at_once(hosts) for hosts in (1, 50)] == [1, 5]
    assert [control.errors(hosts) for hosts in (1, 50)] == [0, 5]


@pytest.mark.parametrize("text", ["0", "101%", "-1", "1.5", "all"])
def test_what_is_neither_a_number_nor_a_percentage_is_refused(text: str) -> None:
    with pytest.raises(SSMException, match="has a wrong form"):
        RateControl(max_concurrency=text)


def test_the_service_refuses_it_too(aws: Emulated, fleet: list[str]) -> None:
    with pytest.raises(ClientError):
        send(aws, "true", MaxErrors="101%")


class Turn:
    """An invocation whose host only notes that its turn has come; a test lets it end."""

    def __init__(self, begun: list[Turn]) -> None:
        self.host = self.agent = self
        self.status, self.details = Status.PENDING, "Pending"
        self._begun = begun

    def submit(self, turn: Turn) -> None:
        self._begun.append(turn)


@pytest.mark.parametrize(("hosts", "wave", "rounds"), [(1, 50, 1), (50, 50, 1), (500, 50, 10), (101, 50, 3)])
def test_a_fleet_takes_as_many_rounds_as_it_has_waves(hosts: int, wave: int, rounds: int) -> None:
    begun: list[Turn] = []
    turns: Any = [Turn(begun) for _ in range(hosts)]
    waves = Waves(RateControl(max_concurrency=str(wave)), turns)
    waves.begin()
    taken = 0
    while begun:
        assert len(begun) <= wave
        taken += 1
        for turn in [begun.pop() for _ in range(len(begun))]:
            turn.status, turn.details = Status.SUCCESS, "Success"
            done: Any = turn
            waves.ended(done)
    assert taken == rounds
    assert all(turn.status is Status.SUCCESS for turn in turns)
