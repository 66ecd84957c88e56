"""The host's code as one deterministic zip: the same sources give the same bytes."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import artifacts
from artifacts.canonical import sha256

_PACKAGE = Path(artifacts.__file__).parent
# What a host needs: to open, serve and measure. The compiler and the catalogue stay at home.
_ROOMS = ("serve", "measure")
_MODULES = (
    "__init__.py",
    "archive.py",
    "axes.py",
    "canonical.py",
    "errors.py",
    "manifest.py",
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
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in bundle_sources():
            name = f"artifacts/{path.relative_to(_PACKAGE).as_posix()}"
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o100644 << 16
            entry.create_system = 3  # Unix, whatever system packs: it is a byte of the archive
            archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def bundle_digest(bundle: bytes) -> str:
    """Return the SHA-256 that names the bundle's object."""
    return sha256(bundle)
