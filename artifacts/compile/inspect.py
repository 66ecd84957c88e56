"""The inspector's process: `python -m artifacts.compile.inspect ARTIFACT --result RES.json`.

The result file holds {"ok": true, …} or {"ok": false, "error": …}, as the compiler's does.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from artifacts.compile.documents import write_document
from artifacts.compile.inspection import inspect_artifact
from artifacts.errors import AmazoneiError, BadRequest


def main(arguments: list[str] | None = None) -> int:
    """Inspect one artifact and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m artifacts.compile.inspect")
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--result", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        if not options.artifact.is_file():
            raise BadRequest(f"There is no file {options.artifact}.", "`amazonei compile` makes artifacts.")
        document = inspect_artifact(options.artifact).as_document()
    except AmazoneiError as error:
        write_document(options.result, {"ok": False, "error": error.as_document()})
        return error.exit_code
    write_document(options.result, {"ok": True, **document})
    return 0


if __name__ == "__main__":
    sys.exit(main())
