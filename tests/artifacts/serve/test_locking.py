"""What changes the served version does so alone; what uses it does so beside others."""

from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING

import pytest

from artifacts.serve.host import locked
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
    with locked(tmp_path, request_):
        assert (gets(tmp_path, fcntl.LOCK_SH), gets(tmp_path, fcntl.LOCK_EX)) == (used, changed)
    assert gets(tmp_path, fcntl.LOCK_EX)
