"""The host's code as one deterministic zip: the same sources give the same bytes."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import artifacts
from artifacts.canonical import sha256

if TYPE_CHECKING:
    from collections.abc import Iterable

_PACKAGE = Path(artifacts.__file__).parent
# What a host needs: to open, serve and measure. The compiler and the catalogue stay at home.
_ROOMS = ("serve", "measure")
_MODULES = (
    "__init__.py",
    "archive.py",
    "axes.py",
    "canonical.py",
    "delta.py",
    "errors.py",
    "manifest.py",
    "recipe.py",
    "signature.py",
    "specs.py",
)
_EPOCH = (1980, 1, 1, 0, 0, 0)


def bundle_sources() -> tuple[Path, ...]:
    """Return the files of the bundle, sorted."""
    rooms = [path for room in _ROOMS for path in (_PACKAGE / room).rglob("*.py")]
    return tuple(sorted([*(_PACKAGE / module for module in _MODULES), *rooms]))


def build_bundle() -> bytes:
    """Return the zip that hosts unpack and run `python -m artifacts.serve.host` from."""
    return _zipped(bundle_sources())


def build_compiler() -> bytes:
    """Return the zip with the whole package, for a host that compiles."""
    files = (path for path in _PACKAGE.rglob("*") if path.suffix in {".py", ".toml", ".json", ".sh"})
    return _zipped(sorted(files))


def _zipped(sources: Iterable[Path]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sources:
            name = f"artifacts/{path.relative_to(_PACKAGE).as_posix()}"
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o100644 << 16
            entry.create_system = 3  # Unix, whatever system packs: it is a byte of the archive
            archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def bundle_digest(bundle: bytes) -> str:
    """Return the SHA-256 that names the bundle's object."""
    return sha256(bundle)
