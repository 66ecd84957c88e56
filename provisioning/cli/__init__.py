"""The click shell: options in, answers and exit codes out."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `amazonei`."""
    from provisioning.cli.boundary import run
    from provisioning.cli.program import program

    sys.exit(run(program, sys.argv[1:], prog_name="amazonei"))


def main_setup() -> None:
    """Run `amazonei-setup`, which is `amazonei setup`."""
    from provisioning.cli.boundary import run
    from provisioning.cli.provision import setup

    sys.exit(run(setup, sys.argv[1:], prog_name="amazonei-setup"))
