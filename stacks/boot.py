"""What a host runs once, at its first boot."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.serve.document import bootstrap_script

if TYPE_CHECKING:
    from stacks.spec import HostSpec

SCRIPT_FILE = Path(__file__).with_name("boot.sh")
HEADER = "#!/bin/sh\n# amazonei host\n"  # the emulator knows our user data by this second line
MARK = "AMAZONEI_BOOTSTRAP"
LIMIT_BYTES = 16 * 1024  # EC2's own, before base64


def user_data(*, deployment: str, host: HostSpec, ttl_s: int, bucket: str | None = None) -> str:
    """Return the user data of a host: what it is, as quoted assignments, and two fixed scripts.

    The second one is what the document runs as well. With it a host of a group, which is told its bucket, can
    install by itself what the group serves.
    """
    facts = {
        "deployment": deployment,
        "accelerator": host.accelerator,
        "interpreter": host.interpreter,
        "ttl_s": str(ttl_s),
        "bucket": bucket or "",
        **({"balanced": "1"} if host.balancer is not None else {}),
    }
    assignments = "".join(f"{name}={shlex.quote(value)}\n" for name, value in facts.items())
    bootstrap = f"write_bootstrap() {{ cat <<'{MARK}'\n{bootstrap_script()}{MARK}\n}}\n"
    return HEADER + assignments + bootstrap + SCRIPT_FILE.read_text(encoding="utf-8")
