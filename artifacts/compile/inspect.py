"""The inspector's process: `python -m artifacts.compile.inspect ARTIFACT [OTHER] --result RES.json`.

The result file holds {"ok": true, …} or {"ok": false, "error": …}, as the compiler's does.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from artifacts.compile.documents import write_document
from artifacts.compile.inspection import compare, inspect_artifact
from artifacts.errors import AmazoneiError, BadRequest


def main(arguments: list[str] | None = None) -> int:
    """Inspect one artifact, or compare two, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m artifacts.compile.inspect")
    parser.add_argument("artifacts", type=Path, nargs="+", metavar="ARTIFACT")
    parser.add_argument("--result", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        document = _document(options.artifacts)
    except AmazoneiError as error:
        write_document(options.result, {"ok": False, "error": error.as_document()})
        return error.exit_code
    write_document(options.result, {"ok": True, **document})
    return 0


def _document(paths: list[Path]) -> dict[str, Any]:
    missing = [str(path) for path in paths if not path.is_file()]
    if missing or len(paths) > 2:
        fact = (
            f"There is no file {missing[0]}." if missing else "inspect takes one artifact, or two to compare."
        )
        raise BadRequest(fact, "`amazonei compile` makes artifacts.")
    found = [inspect_artifact(path) for path in paths]
    return found[0].as_document() if len(found) == 1 else compare(*found)


if __name__ == "__main__":
    sys.exit(main())
