"""What every compile depends on besides the model: this tool, its libraries, the compiler, the processor."""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import artifacts
from artifacts import canonical
from artifacts.archive import digest_file
from artifacts.serve.processor import processor_features, processor_model

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGE = Path(artifacts.__file__).parent


def tool_digest() -> str:
    """Return the digest of all that as this machine dates it, cheap enough to ask before every compile."""
    return canonical.sha256(
        canonical.encode(
            {
                "sources": _sources(),
                "installed": [f"{place.name} {place.stat().st_mtime_ns}" for place in _installed()],
                "python": sys.version,
                "machine": platform.machine(),
                "processor": sorted(processor_features()),
                "compiler": _compiler_here(),
            }
        )
    )


@cache  # it reads some hundred files, and a model of many sizes is many races
def race_digest() -> str:
    """Return the digest of all that by content: two machines with the same of each give the same.

    The processor's model is in it and not only its instruction sets, because lanes are chosen by their times;
    and the C library, because machine code that was linked with a newer one does not load with an older.
    """
    return canonical.sha256(
        canonical.encode(
            {
                "sources": _sources(),
                "installed": sorted(f"{place.name} {_content(place)}" for place in _installed()),
                "python": sys.version,
                "machine": platform.machine(),
                "processor": [*sorted(processor_features()), *processor_model()],
                "compiler": _compiler_itself(),
                "libc": " ".join(platform.libc_ver()),
            }
        )
    )


def _sources() -> str:
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*")):
        if path.suffix in {".py", ".toml"}:
            digest.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _installed() -> list[Path]:
    """Return the installed distributions by the directories of their metadata, which name the versions."""
    return sorted(
        entry
        for place in map(Path, sys.path)
        if place.is_dir()
        for entry in place.iterdir()
        if entry.suffix == ".dist-info"
    )


def _content(distribution: Path) -> str:
    """Return the digest of what a distribution brought, by the digests that its installer wrote down."""
    try:
        lines = (distribution / "RECORD").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "not recorded"  # a system's package: its name and version must do
    return canonical.sha256("\n".join(sorted(_brought(lines))).encode())


def _brought(lines: list[str]) -> Iterator[str]:
    """Leave out what the installer adds, which names places of this machine: scripts, notes, byte code."""
    for line in lines:
        path = line.partition(",")[0]
        added = path.startswith(("..", "/", "__editable__")) or ".dist-info/" in path
        if not added and "sha256=" in line:
            yield line


def _compiler_here() -> str:
    """Return what tells one g++ from another without starting it: where it is, its size and its date."""
    path = shutil.which("g++")
    if path is None:
        return "none"
    status = Path(path).resolve().stat()
    return f"{path} {status.st_size} {status.st_mtime_ns}"


def _compiler_itself() -> str:
    """Return the content of g++, and what it says it is: a wrapper's content says nothing of the compiler."""
    path = shutil.which("g++")
    if path is None:
        return "none"
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not start: {error}"
    return f"{digest_file(Path(path).resolve(), 'g++').sha256} {said.stdout}"
