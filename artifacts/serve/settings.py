"""What a host knows about itself: its environment and the `host.json` its user data wrote."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.canonical import Fields
from artifacts.errors import BadRequest, ServeFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_HOME = "/opt/amazonei"
HOST_FILE = "host.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """One host."""

    home: Path
    address: str  # the loopback address the server binds
    instance_id: str
    accelerator: str
    emulated: bool
    python: str

    @property
    def log_directory(self) -> Path:
        """Return where servers log."""
        return self.home / "log"

    @property
    def run_directory(self) -> Path:
        """Return where running processes are noted."""
        return self.home / "run"

    @property
    def versions(self) -> Path:
        """Return where unpacked artifacts lie, one directory per manifest digest."""
        return self.home / "versions"


def read_settings(environment: Mapping[str, str]) -> HostSettings:
    """Return this host's settings; raises ServeFailed when user data has not prepared it."""
    home = Path(environment.get("AMAZONEI_HOME", DEFAULT_HOME))
    host_file = home / HOST_FILE
    try:
        fields = Fields.parse(host_file.read_bytes(), HOST_FILE)
        accelerator = fields.text("accelerator")
        instance_id = environment.get("AMAZONEI_INSTANCE_ID") or fields.text("instance_id")
    except (OSError, BadRequest) as error:
        raise ServeFailed(
            f"This host was not prepared: {error}", "Set the deployment up again; user data writes host.json."
        ) from error
    return HostSettings(
        home=home,
        address=environment.get("AMAZONEI_ADDRESS", "127.0.0.1"),
        instance_id=instance_id,
        accelerator=accelerator,
        emulated=environment.get("AMAZONEI_EMULATED") == "1",
        python=sys.executable,
    )


def available_cpus() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0))
