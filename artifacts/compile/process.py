"""Run the compiler in a process of its own, so that the tool never imports torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from artifacts.compile.request import CompileRequest, CompileResult
from artifacts.errors import (
    AmazoneiError,
    ArtifactRefused,
    BadRequest,
    CompileError,
    ToolchainMissing,
    VerificationFailed,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_FAMILIES: dict[str, type[AmazoneiError]] = {
    family.code: family
    for family in (ArtifactRefused, BadRequest, CompileError, ToolchainMissing, VerificationFailed)
}
_KEPT_LINES = 20
_ENVIRONMENT = {
    # torch.jit.script writes a module's constants in the order of a set of strings, so the same model
    # has the same bytes only when strings hash alike.
    "PYTHONHASHSEED": "0",
    # Hugging Face libraries: nothing from the network, and none of their progress between our lines.
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
}


def compile_in_process(request: CompileRequest, progress: Callable[[str], None]) -> CompileResult:
    """Compile and return the result; raises the error that the compiler's process wrote down.

    `progress` gets each line of the process's standard error as it comes.
    """
    with tempfile.TemporaryDirectory(prefix="amazonei-request-") as scratch:
        request_file = Path(scratch) / "request.json"
        request_file.write_bytes(request.to_json())
        document = _run(["artifacts.compile", "--request", str(request_file)], progress)
    return CompileResult.from_document(document)


def inspect_in_process(artifact: Path) -> dict[str, Any]:
    """Return what `artifacts.compile.inspection` says about an artifact."""
    return _run(["artifacts.compile.inspect", str(artifact)], progress=lambda _: None)


def _run(module: list[str], progress: Callable[[str], None]) -> dict[str, Any]:
    """Run a module that takes --result FILE and return the document; raises the error it holds."""
    with tempfile.TemporaryDirectory(prefix="amazonei-result-") as scratch:
        result = Path(scratch) / "result.json"
        command = [sys.executable, "-m", *module, "--result", str(result)]
        with subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | _ENVIRONMENT,
        ) as child:
            try:
                last = _follow(child.stderr, progress)
            except BaseException:
                child.terminate()
                raise
        if not result.exists():
            raise _died(child.returncode, last)
        return _document(result.read_bytes())


def _follow(stream: IO[str] | None, progress: Callable[[str], None]) -> list[str]:
    last: deque[str] = deque(maxlen=_KEPT_LINES)
    for line in stream or ():
        last.append(line.rstrip("\n"))
        progress(line.rstrip("\n"))
    return list(last)


def _died(code: int, last: list[str]) -> CompileError:
    how = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
    return CompileError(f"The compiler's process {how} and left no result.", "\n".join(last))


def _document(data: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(data)
    if document["ok"]:
        return document
    error = document["error"]
    family = _FAMILIES.get(error["code"], CompileError)
    raise family(error["message"], error["hint"])
