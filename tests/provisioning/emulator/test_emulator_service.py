from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from artifacts.errors import BadRequest
from provisioning.emulator import processes, service
from provisioning.emulator.state import Running, StateDirectory
from provisioning.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "state"
    service.stop(tmp_path / "state")


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
    yield process
    process.kill()
    process.wait()


def _record_of(process: subprocess.Popen[bytes], started: int, state: StateDirectory) -> Running:
    return Running(
        endpoint_url="http://localhost:1",
        pid=process.pid,
        started=started,
        port=1,
        log=state.log,
        access_key="A",
        secret_key="S",
        state_dir=state.path,
    )


def test_two_concurrent_starts_give_one_emulator_and_stop_ends_it(state_dir: Path) -> None:
    found: list[Running] = []
    starts = [threading.Thread(target=lambda: found.append(service.start(state_dir))) for _ in range(2)]
    for each in starts:
        each.start()
    for each in starts:
        each.join()
    assert found[0] == found[1] == service.find(state_dir)
    assert found[0].endpoint_url == f"http://localhost:{found[0].port}"
    assert stat.S_IMODE((state_dir / "emulator.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(state_dir.stat().st_mode) == 0o700
    assert found[0].secret_key not in repr(found[0])
    assert service.stop(state_dir) is True
    assert processes.find(found[0].pid) is None
    assert service.find(state_dir) is None
    assert service.stop(state_dir) is False


def test_only_the_loopback_is_listened_on(running: Running) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=5):
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", running.port), timeout=5)


def test_a_stale_record_with_a_recycled_pid_kills_nobody(
    state_dir: Path, bystander: subprocess.Popen[bytes]
) -> None:
    state = StateDirectory(state_dir)
    state.prepare()
    live = processes.find(bystander.pid)
    assert live is not None
    state.write(_record_of(bystander, live.started - 1, state))
    assert service.find(state_dir) is None
    assert service.stop(state_dir) is False
    assert bystander.poll() is None


def test_a_busy_port_is_refused_with_the_reason(state_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AwsError, match=f"Port {port} cannot be had: Address already in use"):
            service.start(state_dir, port)
    assert service.find(state_dir) is None


def test_another_port_than_the_running_one_is_refused(running: Running) -> None:
    with pytest.raises(BadRequest, match=f"already runs on port {running.port}"):
        service.start(running.state_dir, running.port + 1)
    assert service.start(running.state_dir, running.port) == running


def test_a_torn_record_is_no_emulator(state_dir: Path) -> None:
    state_dir.mkdir()
    (state_dir / "emulator.json").write_text(json.dumps({"pid": os.getpid()}))
    assert service.find(state_dir) is None


def test_the_environment_points_every_client_at_the_emulator(running: Running) -> None:
    assert service.environment(running, "eu-west-1") == {
        "AWS_ENDPOINT_URL": running.endpoint_url,
        "AWS_ACCESS_KEY_ID": running.access_key,
        "AWS_SECRET_ACCESS_KEY": running.secret_key,
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
