"""An unchanged compile is taken from the cache, without importing torch."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts import archive, canonical
from artifacts.compile.documents import write_document
from artifacts.compile.observation import Inputs, state
from artifacts.compile.request import CompileRequest, CompileResult
from artifacts.compile.toolstate import tool_digest

if TYPE_CHECKING:
    from artifacts.compile.cache import Store

# Shells and terminals set these differently for two equal commands; no model's answer hangs on them.
_VOLATILE = frozenset(
    {"_", "SHLVL", "OLDPWD", "COLUMNS", "LINES", "TMPDIR", "PYTEST_CURRENT_TEST", "PYTHONUNBUFFERED"}
)
_ARTIFACT, _EVIDENCE = "artifact", "evidence"


def request_key(request: CompileRequest) -> str:
    """Return the digest of the request, of this directory and environment, and of the tool."""
    environment = {name: value for name, value in os.environ.items() if name not in _VOLATILE}
    return canonical.sha256(
        canonical.encode(
            {
                "request": replace(request, out_dir=Path()).to_json().decode(),
                "directory": str(Path.cwd()),
                "environment": canonical.sha256(repr(sorted(environment.items())).encode()),
                "tool": tool_digest(),
            }
        )
    )


def recall(store: Store, key: str, request: CompileRequest) -> CompileResult | None:
    """Return the kept result when everything that the compile read is as it was then."""
    entry = store.find(key)
    if entry is None:
        return None
    inputs: Inputs = entry.document["inputs"]
    if any(state(what) != then for what, then in inputs.items()):
        return None
    result = CompileResult.from_document(entry.document["result"])
    request.out_dir.mkdir(parents=True, exist_ok=True)
    artifact = request.out_dir / result.artifact.name
    _place(entry.files[_ARTIFACT], artifact)
    evidence = json.loads(entry.files[_EVIDENCE].read_bytes())
    write_document(archive.evidence_path(artifact), evidence | {"artifact": str(artifact)})
    return replace(result, artifact=artifact)


def _place(source: Path, target: Path) -> None:
    """Copy into place atomically."""
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    shutil.copyfile(source, partial)
    partial.replace(target)


def remember(store: Store, key: str, result: CompileResult, inputs: Inputs) -> str:
    """Keep a result with what it was made from; return why that cannot be done, or nothing."""
    files = {_ARTIFACT: result.artifact, _EVIDENCE: archive.evidence_path(result.artifact)}
    return store.keep(key, {"inputs": inputs, "result": result.as_document()}, files)
