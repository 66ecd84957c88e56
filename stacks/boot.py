"""What a host runs once, at its first boot."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stacks.spec import HostSpec

SCRIPT_FILE = Path(__file__).with_name("boot.sh")
HEADER = "#!/bin/sh\n# amazonei host\n"  # the emulator knows our user data by this second line
LIMIT_BYTES = 16 * 1024  # EC2's own, before base64


def user_data(*, deployment: str, host: HostSpec, ttl_s: int) -> str:
    """Return the user data of a host: what it is, as quoted assignments, and one fixed script."""
    facts = {
        "deployment": deployment,
        "accelerator": host.accelerator,
        "interpreter": host.interpreter,
        "ttl_s": str(ttl_s),
    }
    assignments = "".join(f"{name}={shlex.quote(value)}\n" for name, value in facts.items())
    return HEADER + assignments + SCRIPT_FILE.read_text(encoding="utf-8")
