"""Keep a server running without systemd: a session of its own, noted in a pid file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import artifacts
from artifacts.serve.processes import ProcessRecord, members, read_process, uptime_s
from artifacts.serve.routes import mosec_options

CODE_ROOT = Path(artifacts.__file__).parent.parent
GRACE_S = 10.0
_POLL_S = 0.05
LOG_TAIL_LINES = 20
# A server needs neither the account's credentials nor the command's parameters.
_WITHHELD = ("AWS_", "SSM_")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """A server to start."""

    python: str
    version: Path  # the unpacked artifact
    address: str
    port: int
    workers: int
    batch: int
    pin: bool
    neuron: int  # NeuronCores of each worker; 0: there are none

    def command(self) -> list[str]:
        """Return the command line."""
        command = [self.python, "-m", "artifacts.serve.server"]
        command += ["--version-directory", str(self.version), "--workers", str(self.workers)]
        command += ["--batch", str(self.batch)]
        command += mosec_options(self.address, self.port)
        return [
            *command,
            *(["--pin"] if self.pin else []),
            *(["--neuron", str(self.neuron)] if self.neuron else []),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server that is alive."""

    pid: int
    uptime_s: float


class Program(Protocol):
    """What listens on a port, and how it is started."""

    @property
    def port(self) -> int:
        """The port."""

    def command(self) -> list[str]:
        """Return the command line."""
        ...


class Supervisor(Protocol):
    """Starts and stops servers by port."""

    def start(self, spec: ServerSpec) -> None:
        """Start a server; it may not be ready yet."""
        ...

    def stop(self, port: int) -> None:
        """End the server on a port, if there is one, and everything it started."""
        ...

    def running(self, port: int) -> Running | None:
        """Return the server on a port, or None."""
        ...

    def log_tail(self, port: int, lines: int = LOG_TAIL_LINES) -> str:
        """Return the last lines the server wrote."""
        ...


@dataclass(frozen=True, slots=True)
class ProcessSupervisor:
    """Plain processes, for hosts without systemd and for emulated ones."""

    run_directory: Path
    log_directory: Path
    grace_s: float = GRACE_S
    _children: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, spec: Program) -> None:
        """Start a server in a session of its own, so that it outlives the command that started it."""
        self.run_directory.mkdir(parents=True, exist_ok=True)
        self.log_directory.mkdir(parents=True, exist_ok=True)
        with self._log(spec.port).open("wb") as log:
            child = subprocess.Popen(
                spec.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=CODE_ROOT,
                env=_server_environment(),
                start_new_session=True,
            )
        self._children[spec.port] = child
        record = read_process(child.pid)
        ticks = record.start_ticks if record else 0
        note = self._note(spec.port)
        temporary = note.with_suffix(".partial")
        temporary.write_text(json.dumps({"pid": child.pid, "start_ticks": ticks}), encoding="ascii")
        temporary.replace(note)

    def stop(self, port: int) -> None:
        """Ask with SIGTERM, wait, then end the whole session."""
        pid = self._noted_pid(port)
        if pid is not None:
            leader = self._leader(port)
            if leader is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            if not self._wait_empty(pid):
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
                self._wait_empty(pid)
            self._reap(port)
        self._note(port).unlink(missing_ok=True)

    def running(self, port: int) -> Running | None:
        """Return the server on a port, or None."""
        leader = self._leader(port)
        if leader is None:
            self._reap(port)
        return None if leader is None else Running(pid=leader.pid, uptime_s=round(uptime_s(leader), 1))

    def log_tail(self, port: int, lines: int = LOG_TAIL_LINES) -> str:
        """Return the last lines the server wrote."""
        log = self._log(port)
        if not log.exists():
            return ""
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def _note(self, port: int) -> Path:
        return self.run_directory / f"server-{port}.json"

    def _log(self, port: int) -> Path:
        return self.log_directory / f"server-{port}.log"

    def _noted_pid(self, port: int) -> int | None:
        """Return the noted pid, unless the number has gone to another program since."""
        try:
            note = json.loads(self._note(port).read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return None
        pid, ticks = int(note["pid"]), int(note["start_ticks"])
        record = read_process(pid)
        # A pid is not given out again while a group of its number lives, so a dead leader is no danger.
        return None if record is not None and record.start_ticks != ticks else pid

    def _leader(self, port: int) -> ProcessRecord | None:
        pid = self._noted_pid(port)
        record = None if pid is None else read_process(pid)
        return record if record is not None and record.alive else None

    def _reap(self, port: int) -> None:
        """Take the exit status of a dead server, if this very process started it."""
        child = self._children.pop(port, None)
        if child is not None:
            child.wait()

    def _wait_empty(self, group: int) -> bool:
        """Wait until nothing of the group lives; false when the grace period is over."""
        deadline = time.monotonic() + self.grace_s
        while True:
            if not members(group):
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_S)


def _server_environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_WITHHELD)}
    return kept | {"PYTHONPATH": str(CODE_ROOT), "PYTHONUNBUFFERED": "1"}
