"""The emulator's process: python -m provisioning.emulator --state-dir DIR --port N."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from artifacts.errors import AmazoneiError
from provisioning.emulator.server import serve
from provisioning.emulator.state import StateDirectory


def main() -> int:
    """Serve until told to stop; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m provisioning.emulator")
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--registration-delay", type=float, default=1.0, metavar="SECONDS")
    options = parser.parse_args()
    try:
        state = StateDirectory(options.state_dir.absolute())
        serve(state, options.port, registration_delay_s=options.registration_delay)
    except AmazoneiError as error:
        sys.stderr.write(f"{error.message} {error.hint}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
