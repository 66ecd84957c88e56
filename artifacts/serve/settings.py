"""What a host knows about itself: its environment and the `host.json` its user data wrote."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.canonical import Fields
from artifacts.errors import BadRequest, ServeFailed
from artifacts.serve.environments import own_python

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
    base_python: str = sys.executable  # the image's own, which environments are made from
    balanced: bool = False  # whether a load balancer sends requests to it

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
        interpreter = fields.text("interpreter")
        balanced = bool(fields.optional_number("balanced"))
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
        python=own_python(home),
        base_python=_base_python(home, environment.get("AMAZONEI_PYTHON") or interpreter),
        balanced=balanced,
    )


def _base_python(home: Path, interpreter: str) -> str:
    """Return the image's interpreter; on an image without PyTorch it is the one that this one came from."""
    if Path(interpreter).is_relative_to(home) or not os.access(interpreter, os.X_OK):
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return str(Path(sys.base_prefix, "bin", version))
    return interpreter


def available_cpus() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0))
