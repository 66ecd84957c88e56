"""Processes of this machine, read from /proc: who lives, since when, and in which group."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_DEAD = frozenset("ZXx")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRecord:
    """A line of /proc/PID/stat (https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html)."""

    pid: int
    alive: bool  # false for a zombie, which only waits for its parent
    group: int
    start_ticks: int  # since boot; with the pid it names a process for good


def read_process(pid: int) -> ProcessRecord | None:
    """Return the process, or None when there is none of this pid."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name stands in parentheses and may hold anything, so count from its end.
    fields = text.rpartition(")")[2].split()
    return ProcessRecord(
        pid=pid, alive=fields[0] not in _DEAD, group=int(fields[2]), start_ticks=int(fields[19])
    )


def members(group: int) -> tuple[int, ...]:
    """Return the living processes of a group."""
    pids = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())
    records = (read_process(pid) for pid in pids)
    return tuple(found.pid for found in records if found and found.alive and found.group == group)


def programs() -> frozenset[str]:
    """Return what the processes of this machine were started as, each by its first word."""
    found = set()
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                found.add(os.fsdecode((entry / "cmdline").read_bytes().partition(b"\0")[0]))
    return frozenset(found)


def uptime_s(process: ProcessRecord) -> float:
    """Return how long a process has run, in seconds."""
    since_boot = float((_PROC / "uptime").read_text(encoding="ascii").split()[0])
    return max(0.0, since_boot - process.start_ticks / os.sysconf("SC_CLK_TCK"))
