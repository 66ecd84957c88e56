"""The compiler's process: `python -m artifacts.compile --request REQ.json --result RES.json`.

Standard output stays free; each step is one line on standard error. The result file appears whole or not
at all, and holds either the result or the error as a document.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.compile.cache import REFUSALS, Store, cache_directory
from artifacts.compile.documents import write_document
from artifacts.compile.environment import settle_environment
from artifacts.compile.observation import Observer
from artifacts.compile.recall import recall, remember, request_key
from artifacts.compile.request import CompileRequest, CompileResult
from artifacts.compile.sharing import Line
from artifacts.errors import AmazoneiError, BadRequest

if TYPE_CHECKING:
    from artifacts.compile.cache import Beyond


def main(arguments: list[str] | None = None) -> int:
    """Compile what the request file asks for and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m artifacts.compile")
    parser.add_argument("--request", type=Path, required=True)
    parser.add_argument("--result", type=Path, required=True)
    parser.add_argument("--beyond", type=int, metavar="FD", help="socket to who reaches a shared cache")
    options = parser.parse_args(arguments)
    try:
        request = CompileRequest.from_json(options.request.read_bytes())
        document = _compiled(request, None if options.beyond is None else Line(options.beyond)).as_document()
    except (AmazoneiError, OSError) as failure:
        error = failure if isinstance(failure, AmazoneiError) else _refused(failure)
        write_document(options.result, {"ok": False, "error": error.as_document()})
        return error.exit_code
    write_document(options.result, document)
    return 0


def _refused(error: OSError) -> BadRequest:
    """Return what the machine refuses as a message; raise what is no refusal but a bug."""
    if error.errno not in REFUSALS:
        raise error
    place = error.filename or "The artifact, or a temporary file,"
    return BadRequest(
        f"{place} cannot be written: {error.strerror}.",
        "Make room, or choose another folder for the artifact with --out, for temporary files with TMPDIR.",
    )


def _compiled(request: CompileRequest, beyond: Beyond | None) -> CompileResult:
    """Return the kept result of an unchanged compile, without importing torch, or compile."""
    if not request.cache:
        from artifacts.compile.pipeline import compile_model

        return compile_model(request, _say)
    store = Store(cache_directory())
    unusable = store.usable()
    if unusable:
        _say(f"the cache {store.directory} is left alone: {unusable}")
        return _compiled(replace(request, cache=False), None)
    key = request_key(request)
    with store.sole(key):
        found = recall(store, key, request)
        if found is not None:
            _say(f"unchanged since {found.artifact.name} was compiled: taken from the cache")
            return found
        return _observed(request, store, key, beyond)


def _observed(request: CompileRequest, store: Store, key: str, beyond: Beyond | None) -> CompileResult:
    """Compile, and keep the result with everything the compile read."""
    observer = Observer(ignored=(store.directory, request.out_dir))
    observer.start()
    from artifacts.compile.pipeline import Memory, compile_model

    observer.watch_readers()
    # A race is of any machine like this one; a whole compile is of this one's files.
    races = replace(store, beyond=beyond)
    result = compile_model(request, _say, Memory(store=races, examined=observer.stop))
    inputs = observer.inputs()
    reason = "" if inputs is None else remember(store, key, result, inputs)
    if reason:
        _say(f"the result is not kept in the cache: {reason}")
    return result


def _say(step: str) -> None:
    sys.stderr.write(f"  {step}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    settle_environment()  # before torch is imported, which takes a second
    sys.exit(main())
