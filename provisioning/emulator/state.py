"""The state directory of an emulator: who runs, with which keys, and the lock that keeps it single."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from provisioning.emulator.processes import Process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A running emulator; its secret is not part of the representation."""

    endpoint_url: str
    pid: int
    started: int  # the process's start time in clock ticks since boot
    port: int
    log: Path
    access_key: str
    secret_key: str = field(repr=False)
    state_dir: Path

    @property
    def process(self) -> Process:
        """Return the emulator's process."""
        return Process(self.pid, self.started)


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """The files of one emulator, readable by its user only."""

    path: Path

    @property
    def log(self) -> Path:
        """Return the file that the emulator's output goes to."""
        return self.path / "emulator.log"

    @property
    def hosts(self) -> Path:
        """Return the folder that holds a folder for each emulated host."""
        return self.path / "hosts"

    @property
    def clock(self) -> Path:
        """Return the file that says how many seconds schedules are ahead of the machine's clock."""
        return self.path / "clock"

    @property
    def record(self) -> Path:
        """Return the file that says which emulator runs here."""
        return self.path / "emulator.json"

    def prepare(self) -> None:
        """Create the directory for this user alone."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path.chmod(0o700)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the lock that serialises starting and stopping."""
        with (self.path / "emulator.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def read(self) -> Running | None:
        """Return the emulator that the record names, alive or not; None when there is no whole record."""
        try:
            document = json.loads(self.record.read_text())
            return Running(
                endpoint_url=str(document["endpoint_url"]),
                pid=int(document["pid"]),
                started=int(document["started"]),
                port=int(document["port"]),
                log=self.log,
                access_key=str(document["access_key"]),
                secret_key=str(document["secret_key"]),
                state_dir=self.path,
            )
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def write(self, running: Running) -> None:
        """Write the record atomically, with mode 0600 from its first byte."""
        document = {
            "endpoint_url": running.endpoint_url,
            "pid": running.pid,
            "started": running.started,
            "port": running.port,
            "access_key": running.access_key,
            "secret_key": running.secret_key,
        }
        partial = self.record.with_suffix(".partial")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(document, file)
        partial.replace(self.record)

    def forget(self) -> None:
        """Remove the record, and let the next emulator begin at the machine's time."""
        self.record.unlink(missing_ok=True)
        self.clock.unlink(missing_ok=True)
