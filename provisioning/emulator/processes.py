"""Processes of this machine, known by pid and start time so that a recycled pid is never signalled."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PROC = Path("/proc")
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Process:
    """One process: its pid and the kernel's start time in clock ticks since boot."""

    pid: int
    started: int

    def alive(self) -> bool:
        """Return whether exactly this process still runs; a zombie does not."""
        return find(self.pid) == self

    def signal(self, number: signal.Signals) -> None:
        """Send the signal to exactly this process; nothing happens when it is gone."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            # The descriptor pins the process, so the identity checked here is the one signalled.
            if self.alive():
                signal.pidfd_send_signal(descriptor, number)
        except (ProcessLookupError, PermissionError):
            return
        finally:
            os.close(descriptor)


def find(pid: int) -> Process | None:
    """Return the running process with this pid, or None when there is none or it is a zombie."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name may hold spaces and parentheses; the fields start after the last ")".
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else Process(pid, int(fields[19]))


def current() -> Process:
    """Return the calling process."""
    process = find(os.getpid())
    assert process is not None, "the calling process runs"  # noqa: S101 (narrows the type)
    return process


def carrying(environment: Mapping[str, str]) -> tuple[Process, ...]:
    """Return this user's processes whose environment at start held all of these entries."""
    wanted = {f"{name}={value}".encode() for name, value in environment.items()}
    return tuple(
        process for pid in _pids() if wanted <= set(_environment(pid)) and (process := find(pid)) is not None
    )


def carrying_below(name: str, folder: Path) -> tuple[Process, ...]:
    """Return this user's processes whose environment variable `name` is a path inside the folder."""
    prefix = f"{name}={folder}/".encode()
    return tuple(
        process
        for pid in _pids()
        if any(entry.startswith(prefix) for entry in _environment(pid)) and (process := find(pid)) is not None
    )


def end(find_processes: Callable[[], tuple[Process, ...]], *, grace_s: float = 2.0) -> bool:
    """End every process the function finds, SIGTERM first; return whether there was any.

    The function is asked again after each round, because a process may fork while it is being ended.
    """
    processes = find_processes()
    found = bool(processes)
    for process in processes:
        process.signal(signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while processes and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        processes = find_processes()
    while processes:
        for process in processes:
            process.signal(signal.SIGKILL)
        time.sleep(_POLL_S)
        processes = find_processes()
    return found


def _pids() -> tuple[int, ...]:
    return tuple(int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())


def _environment(pid: int) -> list[bytes]:
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []
