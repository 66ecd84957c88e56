from __future__ import annotations

import fcntl
import http.client
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from artifacts.errors import ServeFailed
from artifacts.serve.client import Client
from artifacts.serve.draining import Drain
from artifacts.serve.processes import members
from artifacts.serve.requests import InvokeRequest, LogsRequest, RollbackRequest, StatusRequest
from artifacts.serve.routes import MAX_REQUEST_BYTES
from tests.artifacts.serve.conftest import is_delta, put_alike
from tests.artifacts.serve.open_loop import OpenLoop, following
from tests.provisioning.operated import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable

    from artifacts.compile.request import CompileResult
    from tests.artifacts.serve.conftest import Machine, Response

    NewMachine = Callable[..., Machine]

X = {"inputs": {"x": [[0.25, -1.0, 3.0, 0.0]]}}


@pytest.fixture(scope="module")
def one_version(new_machine: NewMachine, two_layers: CompileResult) -> tuple[Machine, Response]:
    """A host with a first version, and the response of its installation."""
    machine = new_machine()
    return machine, machine.install(two_layers.artifact, two_layers.digest)


def answer(machine: Machine, name: str) -> object:
    return machine.send(InvokeRequest(id=name, body=X)).document["response"]


def serving(machine: Machine, name: str) -> dict[str, object]:
    found: dict[str, object] = machine.send(StatusRequest(id=name)).document["serving"]
    return found


def test_no_request_fails_while_versions_are_switched_and_rolled_back(
    new_machine: NewMachine, two_layers: CompileResult, two_layers_retrained: CompileResult, tmp_path: Path
) -> None:
    machine = new_machine()
    bucket = Bucket()
    put_alike(bucket, two_layers_retrained.artifact, tmp_path)
    machine.install(two_layers.artifact, two_layers.digest, bucket)
    old = answer(machine, "old")
    client = OpenLoop(following(machine.home, json.dumps(X).encode()))
    with client.sending():
        shipped = machine.install(two_layers_retrained.artifact, two_layers_retrained.digest, bucket)
        with pytest.raises(ConnectionRefusedError):  # the old server, which has answered and ended
            http.client.HTTPConnection(machine.address, 8080, timeout=10).connect()
        new = answer(machine, "new")
        back = machine.send(RollbackRequest(id="back"))
        after = answer(machine, "after")
    assert (shipped.code, back.code) == (0, 0), shipped.steps + back.steps
    assert shipped.document["port"] == 8081
    assert is_delta(bucket, two_layers_retrained.digest), "the second version came as what differs"
    kept = {path.name for path in (machine.home / "versions").iterdir()}
    assert kept == {two_layers.digest, two_layers_retrained.digest}
    assert client.failures == []
    assert len(client.answers) > 100
    assert after == old != new
    assert sorted(map(json.loads, set(client.answers)), key=str) == sorted([old, new], key=str)
    assert (back.document["digest"], back.document["changed"]) == (two_layers.digest, True)

    # Back again, since the version that was left is kept; but not where another one is served.
    elsewhere = machine.send(RollbackRequest(id="no", undoing="another-request")).document
    assert (elsewhere["changed"], elsewhere["digest"]) == (False, two_layers.digest)
    forth = machine.send(RollbackRequest(id="forth", undoing="back")).document
    assert forth["digest"] == two_layers_retrained.digest

    # What lies on the disk is verified again before it is served.
    program = machine.home / "versions" / two_layers.digest / "program.pt"
    program.write_bytes(program.read_bytes() + b"\0")
    refused = machine.send(RollbackRequest(id="changed"))
    assert (refused.code, refused.document["error"]["code"]) == (4, "artifact-refused")
    assert "has been changed since it was unpacked" in refused.document["error"]["message"]
    assert serving(machine, "still")["digest"] == two_layers_retrained.digest


def test_without_a_version_from_before_there_is_nothing_to_go_back_to(
    new_machine: NewMachine, one_version: tuple[Machine, Response], two_layers: CompileResult
) -> None:
    empty = new_machine().send(RollbackRequest(id="empty"))
    assert "Nothing is served" in empty.document["error"]["message"]
    machine, _ = one_version
    machine.install(two_layers.artifact, two_layers.digest, id="again")  # changes nothing, so it is no past
    response = machine.send(RollbackRequest(id="first"))
    assert response.code == 2
    assert "keeps no version from before" in response.document["error"]["message"]
    assert serving(machine, "status")["healthy"] is True


def booting(machine: Machine, over: str) -> Machine:
    """Return the host as its boot commands it: nothing may be served but this, or nothing at all."""
    return replace(machine, environment={**machine.environment, "AMAZONEI_ONLY_OVER": over})


def test_a_ship_that_ends_while_a_boot_waits_for_the_lock_stays(
    new_machine: NewMachine, two_layers: CompileResult, two_layers_retrained: CompileResult
) -> None:
    machine = new_machine()
    served = machine.home / "current.json"
    first = booting(machine, "").install(two_layers.artifact, two_layers.digest)
    before = served.read_bytes()
    boot = booting(machine, two_layers.digest)
    shipped = boot.install(two_layers_retrained.artifact, two_layers_retrained.digest)
    assert (first.document["changed"], shipped.document["changed"]) == (True, True), shipped.steps

    after = served.read_bytes()
    served.write_bytes(before)  # the ship has the lock, and has not switched yet
    with (machine.home / "lock").open("rb") as lock, ThreadPoolExecutor(1) as pool:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stale = pool.submit(boot.install, two_layers.artifact, two_layers.digest, id="stale")
        _until(lambda: _is_awaited(lock.fileno()))
        served.write_bytes(after)
        fcntl.flock(lock, fcntl.LOCK_UN)
    assert (stale.result().code, stale.result().document["changed"]) == (0, False), stale.result().steps
    assert stale.result().document["digest"] == two_layers_retrained.digest
    assert serving(machine, "after")["healthy"] is True
    assert json.loads(served.read_bytes()) == json.loads(after)


def test_a_worker_that_dies_is_replaced_and_says_so_in_the_log_and_the_metrics(
    one_version: tuple[Machine, Response],
) -> None:
    machine, response = one_version
    server = int(str(serving(machine, "before")["pid"]))
    (worker,) = (pid for pid in members(server) if _is_worker(pid))
    before = answer(machine, "first")
    os.kill(worker, signal.SIGKILL)  # the only one, with which mosec itself ends
    client = Client(machine.address, response.document["port"])
    _until(lambda: any(_is_worker(pid) and pid != worker for pid in members(server)) and client.healthy())
    assert answer(machine, "after") == before
    assert "mosec_service_remaining_task" in client.metrics()
    assert serving(machine, "status")["pid"] == server
    logs = machine.send(LogsRequest(id="logs", lines=50)).document
    assert logs["port"] == response.document["port"]
    assert "the last worker died; the server starts again" in logs["logs"][str(logs["port"])]


def test_a_body_over_the_limit_is_refused_with_413(one_version: tuple[Machine, Response]) -> None:
    machine, response = one_version
    connection = http.client.HTTPConnection(machine.address, response.document["port"], timeout=10)
    with closing(connection):
        with suppress(BrokenPipeError, ConnectionResetError):  # it need not read all of it
            connection.request("POST", "/inference", bytes(MAX_REQUEST_BYTES + 1))
        assert connection.getresponse().status == 413


class Draining(Client):
    """A server whose metrics say how many requests it still has."""

    def __init__(self, *remaining: int) -> None:
        super().__init__("127.0.0.1", 1)
        object.__setattr__(self, "left", list(remaining))

    left: list[int]

    def metrics(self) -> str:
        if not self.left:
            raise ServeFailed("gone")
        return f"# TYPE x\nmosec_service_remaining_task {self.left.pop(0)}\n"


@pytest.mark.parametrize(
    ("remaining", "drained"), [((0,), True), ((2, 1, 0), True), ((1,), True), ((1,) * 99, False)]
)
def test_a_server_is_drained_once_it_has_nothing_left_to_answer(
    remaining: tuple[int, ...], drained: bool
) -> None:
    assert Drain(linger_s=0.0, limit_s=0.2).wait(Draining(*remaining)) is drained


def _is_worker(pid: int) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _is_awaited(lock: int) -> bool:
    """Return whether a process waits for the lock on an open file."""
    waiting = [line for line in Path("/proc/locks").read_text().splitlines() if " -> " in line]
    return any(f":{os.fstat(lock).st_ino} " in line for line in waiting)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
