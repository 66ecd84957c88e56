"""What every compile depends on besides the model: this tool, its libraries, the compiler, the processor."""

from __future__ import annotations

import hashlib
import platform
import shutil
import sys
from pathlib import Path

import artifacts
from artifacts import canonical
from artifacts.serve.processor import processor_features

_PACKAGE = Path(artifacts.__file__).parent


def tool_digest() -> str:
    """Return the digest of all that, cheap enough to ask before every compile."""
    return canonical.sha256(
        canonical.encode(
            {
                "sources": _sources(),
                "installed": _installed(),
                "python": sys.version,
                "machine": platform.machine(),
                "processor": sorted(processor_features()),
                "compiler": _compiler(),
            }
        )
    )


def _sources() -> str:
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*")):
        if path.suffix in {".py", ".toml"}:
            digest.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _installed() -> list[str]:
    """Return the installed distributions by the directories of their metadata, which name the versions."""
    return sorted(
        f"{entry.name} {entry.stat().st_mtime_ns}"
        for place in map(Path, sys.path)
        if place.is_dir()
        for entry in place.iterdir()
        if entry.suffix == ".dist-info"
    )


def _compiler() -> str:
    """Return what tells one g++ from another without starting it: where it is, its size and its date."""
    path = shutil.which("g++")
    if path is None:
        return "none"
    status = Path(path).resolve().stat()
    return f"{path} {status.st_size} {status.st_mtime_ns}"
