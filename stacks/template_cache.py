"""Templates that were synthesized before, so that an unchanged spec needs no Node.

A template is a function of the spec, of our code and of the library, so these are the key. A cache that
cannot be read or written is no cache: synthesis goes on without.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stacks.spec import DeploymentSpec

ROOMS = ("artifacts", "stacks")
SOURCES = frozenset({".py", ".toml", ".sh", ".json"})
LIBRARIES = ("aws-cdk-lib", "constructs", "jsii")


def cache_directory() -> Path:
    """Return the user's own directory of templates, after the XDG base directory specification."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "amazonei" / "templates"


@dataclass(frozen=True, slots=True)
class TemplateCache:
    """A directory with one file for each spec, code and library that was synthesized."""

    directory: Path

    def read(self, spec: DeploymentSpec) -> tuple[tuple[str, str], ...] | None:
        """Return names and bodies of the spec's templates, or None when they are not known whole."""
        try:
            document = json.loads(self._file(spec).read_text(encoding="utf-8"))
            templates = tuple((str(name), str(body)) for name, body in document["templates"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return templates if document.get("sha256") == _digest(templates) else None

    def write(self, spec: DeploymentSpec, templates: tuple[tuple[str, str], ...]) -> None:
        """Keep the templates of a spec, all of them or none."""
        file = self._file(spec)
        partial = file.with_suffix(f".{os.getpid()}")
        document = {"sha256": _digest(templates), "templates": templates}
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial.write_text(json.dumps(document), encoding="utf-8")
            partial.replace(file)
        except OSError:
            with suppress(OSError):
                partial.unlink(missing_ok=True)

    def _file(self, spec: DeploymentSpec) -> Path:
        key = hashlib.sha256(f"{spec!r}\n{code_digest()}\n{_libraries()}".encode()).hexdigest()
        return self.directory / f"{key}.json"


@cache
def code_digest() -> str:
    """Return the digest of everything our side of a template comes from."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for room in ROOMS:
        for path in sorted((root / room).rglob("*")):
            if path.suffix in SOURCES:
                digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def _libraries() -> str:
    return " ".join(f"{name}=={version(name)}" for name in LIBRARIES)


def _digest(templates: tuple[tuple[str, str], ...]) -> str:
    return hashlib.sha256(json.dumps(templates).encode()).hexdigest()
