"""What changes the served version does so alone; what uses it does so beside others."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from artifacts.serve.locking import locked
from artifacts.serve.requests import (
    BenchmarkRequest,
    InvokeRequest,
    RollbackRequest,
    StatusRequest,
    StopRequest,
)

if TYPE_CHECKING:
    from pathlib import Path

    from artifacts.serve.requests import AnyRequest


_WAIT_S = 10.0  # a test that hangs fails; none needs it


def gets(home: Path, kind: int) -> bool:
    """Whether another command would get this lock now."""
    with (home / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@pytest.mark.parametrize(
    ("request_", "used", "changed"),
    [
        (RollbackRequest(id="r"), False, False),
        (StopRequest(id="r"), False, False),
        (BenchmarkRequest(id="r", protocol={}, sweep=True), False, False),
        (BenchmarkRequest(id="r", protocol={}), True, False),
        (InvokeRequest(id="r", body={}), True, False),
        (StatusRequest(id="r"), True, True),
    ],
)
def test_beside_a_command_the_version_may_be_used_or_changed(
    tmp_path: Path, request_: AnyRequest, *, used: bool, changed: bool
) -> None:
    with locked(tmp_path, request_, pytest.fail):
        assert (gets(tmp_path, fcntl.LOCK_SH), gets(tmp_path, fcntl.LOCK_EX)) == (used, changed)
    assert gets(tmp_path, fcntl.LOCK_EX)


class Waiting:
    """A command that began beside another one, and what it said."""

    def __init__(self, home: Path, request: AnyRequest, at: float) -> None:
        self.said: list[str] = []
        self._has_said, self._got = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, args=(home, request, at))
        self._thread.start()

    def _run(self, home: Path, request: AnyRequest, at: float) -> None:
        with locked(home, request, self._say, lambda: at):
            self._got.set()

    def _say(self, line: str) -> None:
        self.said.append(line)
        self._has_said.set()

    def until_it_says(self) -> list[str]:
        assert self._has_said.wait(_WAIT_S)
        assert not self._got.is_set()
        return self.said

    def ends(self) -> bool:
        self._thread.join(_WAIT_S)
        return self._got.is_set()


@pytest.mark.parametrize("request_", [RollbackRequest(id="b"), InvokeRequest(id="b", body={})])
def test_who_has_to_wait_says_for_whom_and_since_when(tmp_path: Path, request_: AnyRequest) -> None:
    with locked(tmp_path, StopRequest(id="abc"), pytest.fail, lambda: 1000.0):
        waiting = Waiting(tmp_path, request_, at=1040.0)
        assert waiting.until_it_says() == ["waiting for stop abc, which began 40 s ago"]
    assert waiting.ends()
    assert len(waiting.said) == 1


def test_a_command_that_has_ended_is_not_named(tmp_path: Path) -> None:
    with locked(tmp_path, StopRequest(id="gone"), pytest.fail):
        pass
    with (tmp_path / "lock").open("a") as another:  # which has not said yet who it is
        fcntl.flock(another, fcntl.LOCK_EX)
        waiting = Waiting(tmp_path, RollbackRequest(id="b"), at=0.0)
        assert waiting.until_it_says() == ["waiting for commands that use the served version"]
    assert waiting.ends()


def test_a_command_that_was_killed_is_not_named(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as killed:
        pass
    note = {"operation": "stop", "id": "gone", "since": 0.0, "pid": killed.pid}
    (tmp_path / "lock").write_text(json.dumps(note))
    with locked(tmp_path, InvokeRequest(id="a", body={}), pytest.fail):
        waiting = Waiting(tmp_path, RollbackRequest(id="b"), at=0.0)
        assert waiting.until_it_says() == ["waiting for commands that use the served version"]
    assert waiting.ends()


def test_a_host_whose_disk_is_full_still_does_what_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("artifacts.serve.locking.json.dumps", full)
    with locked(tmp_path, StopRequest(id="a"), pytest.fail):
        waiting = Waiting(tmp_path, RollbackRequest(id="b"), at=0.0)
        assert waiting.until_it_says() == ["waiting for commands that use the served version"]
    assert waiting.ends()
