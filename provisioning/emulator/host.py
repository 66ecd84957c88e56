"""An emulated EC2 host: a directory, a loopback address of its own, and processes that really run."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from provisioning.emulator import processes
from provisioning.emulator.agent import Agent
from provisioning.emulator.execution import Ending, Execution, Script

if TYPE_CHECKING:
    from collections.abc import Mapping

# A laptop must never run a stranger's user data: only ours names itself so, in its second line.
USER_DATA_MARKER = "# amazonei host"

# The bytes a socket's path may have (unix(7)), and what the server's sockets need below the folder.
SOCKET_PATH = 107
SOCKET_NAME = 45

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What all hosts of one emulator share."""

    hosts: Path  # the folder that holds each host's own
    endpoint_url: str
    access_key: str
    secret_key: str = field(repr=False)
    interpreter: Path  # the Python that hosts use
    registration_delay_s: float  # from the end of the boot to the registration with SSM


class Host:
    """One emulated instance, from its launch to its termination."""

    def __init__(self, site: Site, instance_id: str, region: str, address: str) -> None:
        self.instance_id = instance_id
        self.region = region
        self.address = address
        self.root = site.hosts / instance_id
        self.agent = Agent(instance_id)
        self._site = site
        self._off = threading.Event()
        self._boot: Execution | None = None
        self._booted = False
        self._registered_at: datetime | None = None

    @property
    def home(self) -> Path:
        """Return the folder that stands for /opt/amazonei."""
        return self.root / "amazonei"

    @property
    def tmp(self) -> Path:
        """Return where temporary files go: in the host's folder, unless sockets there get too long a name."""
        own = self.root / "tmp"
        short = len(os.fsencode(own)) + SOCKET_NAME < SOCKET_PATH
        return own if short else Path(tempfile.gettempdir(), f"amazonei-{self.instance_id}")

    @property
    def registered_at(self) -> datetime | None:
        """Return when the host registered with SSM; None while it has not."""
        return self._registered_at

    @property
    def online(self) -> bool:
        """Return whether the host is registered and takes commands."""
        return self.agent.on

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the whole environment of the host's processes: nothing of the user's own leaks in."""
        site = self._site
        return {
            "AMAZONEI_HOME": str(self.home),
            "AMAZONEI_ADDRESS": self.address,
            "AMAZONEI_INSTANCE_ID": self.instance_id,
            "AMAZONEI_EMULATED": "1",
            "AMAZONEI_PYTHON": str(site.interpreter),
            "AWS_ENDPOINT_URL": site.endpoint_url,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": site.access_key,
            "AWS_SECRET_ACCESS_KEY": site.secret_key,
            "PATH": f"{site.interpreter.parent}:{_SYSTEM_PATH}",
            "HOME": str(self.root),
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.tmp),
        }

    def power_on(self, user_data: str) -> None:
        """Boot in the background; user data runs at the first boot only, as cloud-init does it."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.tmp.mkdir(exist_ok=True)
        self._off = threading.Event()
        # Made here and not in the thread, so that a power-off right after finds it and stops it.
        self._boot = self._first_boot(user_data) if not self._booted else None
        self._booted = True
        threading.Thread(target=self._come_up, args=(self._boot, self._off), daemon=True).start()

    def power_off(self) -> None:
        """End every process of the host and whatever was being sent to it; blocks until they are gone."""
        self._off.set()
        if self._boot is not None:
            self._boot.end(Ending.CANCELLED)
        self.agent.stop()
        mine = {"AMAZONEI_INSTANCE_ID": self.instance_id, "AMAZONEI_HOME": str(self.home)}
        processes.end(lambda: processes.carrying(mine))

    def remove(self) -> None:
        """Power off and remove the host's directory."""
        self.power_off()
        shutil.rmtree(self.tmp, ignore_errors=True)
        shutil.rmtree(self.root, ignore_errors=True)

    def console_output(self) -> str:
        """Return what the user data wrote, and what became of the boot."""
        boot = self.root / "boot"
        parts = [boot / "stdout", boot / "stderr", self.root / "console.log"]
        return "".join(part.read_text(errors="replace") for part in parts if part.exists())

    def _first_boot(self, user_data: str) -> Execution | None:
        """Return the run of the user data, or None when there is none of ours to run."""
        if not user_data:
            return None
        if user_data.splitlines()[1:2] != [USER_DATA_MARKER]:
            self._log(f'user data not run: its second line is not "{USER_DATA_MARKER}"')
            return None
        return Execution(
            Script(
                text=user_data,
                folder=self.root / "boot",
                environment=self.environment,
                working_directory=self.root,
            )
        )

    def _come_up(self, boot: Execution | None, off: threading.Event) -> None:
        """Register with SSM after the boot, unless it fails or the power goes."""
        if boot is not None and not self._succeeds(boot):
            return
        if not off.wait(self._site.registration_delay_s):
            self._registered_at = self._registered_at or datetime.now(UTC)
            self.agent.start()

    def _succeeds(self, boot: Execution) -> bool:
        outcome = boot.run()
        if outcome.ending is Ending.CANCELLED:
            return False
        self._log(f"user data {outcome.ending} with exit code {outcome.exit_code}")
        return outcome.exit_code == 0

    def _log(self, line: str) -> None:
        with (self.root / "console.log").open("a") as file:
            file.write(f"[amazonei] {line}\n")
