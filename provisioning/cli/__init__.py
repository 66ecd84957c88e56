"""The click shell: options in, answers and exit codes out."""

from __future__ import annotations

import os
import sys
import threading
from typing import NoReturn


def main() -> None:
    """Run `amazonei`."""
    from provisioning.cli.boundary import run
    from provisioning.cli.program import program

    leave(run(program, sys.argv[1:], prog_name="amazonei"))


def main_setup() -> None:
    """Run `amazonei-setup`, which is `amazonei setup`."""
    from provisioning.cli.boundary import run
    from provisioning.cli.provision import setup

    leave(run(setup, sys.argv[1:], prog_name="amazonei-setup"))


def leave(code: int) -> NoReturn:
    """End the process with this code; an interrupted one does not wait for requests of other threads."""
    from provisioning.errors import Interrupted

    if code == Interrupted.exit_code and any(not thread.daemon for thread in threading.enumerate()[1:]):
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
    sys.exit(code)
