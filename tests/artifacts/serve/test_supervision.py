from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from artifacts.serve.processes import members, read_process, uptime_s
from artifacts.serve.supervision import ProcessSupervisor, ServerSpec

if TYPE_CHECKING:
    from pathlib import Path

STUBBORN = """\
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("stubborn and with a child", flush=True)
time.sleep(600)
"""


def _spec(directory: Path, port: int, program: str) -> ServerSpec:
    """A server whose interpreter is a script of ours, so that no model is needed."""
    python = directory / "python"
    python.write_text(f"#!{sys.executable}\n{program}", encoding="ascii")
    python.chmod(0o755)
    return ServerSpec(
        python=str(python),
        version=directory,
        address="127.0.0.1",
        port=port,
        workers=1,
        batch=1,
        pin=False,
        neuron=0,
    )


@pytest.fixture
def supervisor(tmp_path: Path) -> ProcessSupervisor:
    return ProcessSupervisor(tmp_path / "run", tmp_path / "log")


def test_a_server_runs_in_a_session_of_its_own_until_stopped(
    supervisor: ProcessSupervisor, tmp_path: Path
) -> None:
    supervisor.start(_spec(tmp_path, 8080, "import time; time.sleep(600)"))
    running = supervisor.running(8080)
    assert running is not None
    assert os.getsid(running.pid) == running.pid
    assert supervisor.running(8081) is None
    supervisor.stop(8080)
    assert supervisor.running(8080) is None
    assert members(running.pid) == ()


def test_another_process_finds_the_server_by_its_note(supervisor: ProcessSupervisor, tmp_path: Path) -> None:
    supervisor.start(_spec(tmp_path, 8080, "import time; time.sleep(600)"))
    later = ProcessSupervisor(tmp_path / "run", tmp_path / "log")
    assert later.running(8080) is not None
    later.stop(8080)
    assert later.running(8080) is None
    assert supervisor.running(8080) is None


def test_a_server_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    supervisor = ProcessSupervisor(tmp_path / "run", tmp_path / "log", grace_s=0.3)
    supervisor.start(_spec(tmp_path, 8080, STUBBORN))
    while "stubborn" not in supervisor.log_tail(8080):
        assert supervisor.running(8080) is not None
    running = supervisor.running(8080)
    assert running is not None
    assert len(members(running.pid)) == 2
    supervisor.stop(8080)
    assert members(running.pid) == ()


def test_a_pid_that_went_to_another_program_is_left_alone(
    supervisor: ProcessSupervisor, tmp_path: Path
) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as bystander:
        (tmp_path / "run").mkdir()
        note = tmp_path / "run" / "server-8080.json"
        note.write_text(json.dumps({"pid": bystander.pid, "start_ticks": 1}), encoding="ascii")
        assert supervisor.running(8080) is None
        supervisor.stop(8080)
        assert bystander.poll() is None
        assert not note.exists()
        bystander.kill()


def test_stopping_what_does_not_run_does_nothing(supervisor: ProcessSupervisor) -> None:
    supervisor.stop(8080)
    assert supervisor.log_tail(8080) == ""


def test_the_command_line_carries_what_the_server_needs(tmp_path: Path) -> None:
    command = _spec(tmp_path, 8081, "").command()
    pairs = dict(zip(command[3::2], command[4::2], strict=True))
    assert command[1:3] == ["-m", "artifacts.serve.server"]
    assert (pairs["--address"], pairs["--port"], pairs["--workers"]) == ("127.0.0.1", "8081", "1")


def test_this_process_is_alive_and_has_an_age() -> None:
    record = read_process(os.getpid())
    assert record is not None
    assert record.alive
    assert record.group == os.getpgid(0)
    assert uptime_s(record) >= 0
    assert read_process(2**22 + 1) is None
