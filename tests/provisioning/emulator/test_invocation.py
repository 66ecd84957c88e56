from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from provisioning.emulator.host import Host, Site
from provisioning.emulator.invocation import Invocation, Order
from provisioning.emulator.ssm_document import Rendering, Step

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.fixture
def host(tmp_path: Path) -> Host:
    site = Site(
        hosts=tmp_path,
        endpoint_url="http://localhost:1",
        access_key="A",
        secret_key="S",
        interpreter=Path("/usr/bin/python3"),
        registration_delay_s=0,
    )
    host = Host(site, "i-1", "us-west-2", "127.9.9.9")
    host.root.mkdir()
    return host


def _invocation(host: Host, *texts: str, late_s: float = -60, exits: bool = False) -> Invocation:
    steps = tuple(
        Step(name=f"step{number}", text=text, timeout_s=5, working_directory="", exits_on_failure=exits)
        for number, text in enumerate(texts)
    )
    order = Order(
        command_id="c",
        rendering=Rendering(steps=steps, environment={"SSM_Value": "v"}),
        deliver_before=datetime.now(UTC) - timedelta(seconds=late_s),
        completed=lambda _invocation: None,
        ended=lambda _invocation: None,
    )
    return Invocation(order, host)


def _codes(invocation: Invocation) -> Sequence[int]:
    return [each.exit_code for each in invocation.results]


def test_a_command_not_begun_in_time_was_not_delivered(host: Host) -> None:
    late = _invocation(host, "touch ran\n", late_s=1)
    late.run()
    assert (late.status, late.details, late.exit_code) == ("TimedOut", "DeliveryTimedOut", -1)
    assert not (host.root / "ran").exists()


def test_later_steps_run_after_a_failure_unless_the_step_says_exit(host: Host) -> None:
    going_on = _invocation(host, "exit 4\n", "true\n")
    going_on.run()
    assert (going_on.status, going_on.exit_code, _codes(going_on)) == ("Failed", 4, [4, 0])


def test_a_step_that_says_exit_ends_the_command(host: Host) -> None:
    exiting = _invocation(host, "exit 4\n", "true\n", exits=True)
    exiting.run()
    assert (exiting.status, _codes(exiting)) == ("Failed", [4])


def test_a_script_runs_under_the_interpreter_it_names_in_the_hosts_directory(host: Host) -> None:
    named = _invocation(host, "#!/usr/bin/env -S sh -e\nfalse\ntouch ran\n", 'test "$SSM_Value" = v\n')
    named.run()
    assert _codes(named) == [1, 0]
    assert not (host.root / "ran").exists()


def test_a_command_that_dies_by_a_signal_reports_it_as_a_shell_does(host: Host) -> None:
    dying = _invocation(host, "kill -TERM $$\n")
    dying.run()
    assert (dying.status, dying.exit_code) == ("Failed", 143)


def test_a_command_killed_for_memory_looks_timed_out_as_the_agent_has_it(host: Host) -> None:
    killed = _invocation(host, "kill -KILL $$\n")
    killed.run()
    assert (killed.status, killed.details, killed.exit_code) == ("TimedOut", "ExecutionTimedOut", 137)


def test_an_abandoned_command_never_starts_and_leaves_no_folder(host: Host) -> None:
    abandoned = _invocation(host, "touch ran\n")
    abandoned.abandon()
    abandoned.run()
    assert (abandoned.status, abandoned.details) == ("Failed", "Undeliverable")
    assert list(host.root.iterdir()) == []
