"""One command at a time changes the served version; those that only use it run beside each other."""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts.canonical import Fields
from artifacts.errors import BadRequest
from artifacts.serve.leftovers import compiling
from artifacts.serve.requests import (
    BenchmarkRequest,
    CompileOnHostRequest,
    InstallRequest,
    LogsRequest,
    RollbackRequest,
    StatusRequest,
    StopRequest,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import FileIO

    from artifacts.serve.requests import AnyRequest


@contextmanager
def locked(
    home: Path,
    request: AnyRequest,
    progress: Callable[[str], None],
    now: Callable[[], float] = time.time,
) -> Iterator[None]:
    """Let nothing change the served version while it is used; two changes would race for the free port.

    Who has to wait says for whom. The lock is the kernel's, and gone with the process that had it; what its
    file says of the holder is believed only while that process is there.
    """
    if isinstance(request, StatusRequest | LogsRequest):
        yield
        return
    if isinstance(request, CompileOnHostRequest):  # hours, beside what serves and what is installed
        with compiling(home):
            yield
        return
    alone = _changes(request)
    with (home / "lock").open("ab+", buffering=0) as lock:
        _acquire(lock, alone=alone, progress=progress, now=now)
        if not alone:  # one of several, who are not named
            yield
            return
        holder = {"operation": request.operation.value, "id": request.id, "since": now(), "pid": os.getpid()}
        _note(lock, holder)
        try:
            yield
        finally:
            _note(lock, {})


def _changes(request: AnyRequest) -> bool:
    sweeps = isinstance(request, BenchmarkRequest) and request.sweep  # each scale is a switch
    return sweeps or isinstance(request, InstallRequest | RollbackRequest | StopRequest)


def _acquire(lock: FileIO, *, alone: bool, progress: Callable[[str], None], now: Callable[[], float]) -> None:
    kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        progress(f"waiting for {_holder(lock, now())}")
        fcntl.flock(lock, kind)


def _note(lock: FileIO, note: dict[str, Any]) -> None:
    with suppress(OSError):  # on a disk that is full it is missed, no more
        lock.truncate(0)
        if note:
            lock.write(json.dumps(note).encode())


def _holder(lock: FileIO, now: float) -> str:
    """Return who holds the lock, as far as it says so."""
    lock.seek(0)
    try:
        fields = Fields.parse(lock.read(), "lock")
        operation, identifier, since = fields.text("operation"), fields.text("id"), fields.number("since")
        gone = not Path(f"/proc/{fields.integer('pid')}").exists()
    except BadRequest:
        gone = True
    if gone:
        return "commands that use the served version"
    return f"{operation} {identifier}, which began {max(0, now - since):.0f} s ago"
