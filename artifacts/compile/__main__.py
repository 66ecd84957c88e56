"""The compiler's process: `python -m artifacts.compile --request REQ.json --result RES.json`.

Standard output stays free; each step is one line on standard error. The result file appears whole or not
at all, and holds either the result or the error as a document.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from artifacts.compile.documents import write_document
from artifacts.compile.environment import settle_environment
from artifacts.compile.request import CompileRequest
from artifacts.errors import AmazoneiError


def main(arguments: list[str] | None = None) -> int:
    """Compile what the request file asks for and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m artifacts.compile")
    parser.add_argument("--request", type=Path, required=True)
    parser.add_argument("--result", type=Path, required=True)
    options = parser.parse_args(arguments)
    from artifacts.compile.pipeline import compile_model

    try:
        request = CompileRequest.from_json(options.request.read_bytes())
        document = compile_model(request, _say).as_document()
    except AmazoneiError as error:
        write_document(options.result, {"ok": False, "error": error.as_document()})
        return error.exit_code
    write_document(options.result, document)
    return 0


def _say(step: str) -> None:
    sys.stderr.write(f"  {step}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    settle_environment()  # before torch is imported, which takes a second
    sys.exit(main())
