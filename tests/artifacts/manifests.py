"""A manifest with what most tests do not care about, and archives of files that are no programs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from artifacts import archive
from artifacts.manifest import Manifest, Toolchain
from artifacts.specs import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TOOLCHAIN = Toolchain(torch="2.13.0", python="3.11", compiler="torchscript", compiler_version="2.13.0")
PLAIN = Manifest(
    name="model",
    target="c7i.xlarge",
    lane="trace",
    stand_in=False,
    program="torchscript",
    preparation="none",
    atol=1e-3,
    inputs=(TensorSpec(name="x", dtype="float32", shape=(1, 4)),),
    outputs=(TensorSpec(name="output", dtype="float32", shape=(1, 4)),),
    toolchain=TOOLCHAIN,
    files=(),
)


def manifest_of(**changes: Any) -> Manifest:
    return replace(PLAIN, **changes)


def packed(directory: Path, files: Mapping[str, bytes], **changes: Any) -> tuple[Path, Manifest]:
    """Pack these files; return the archive and its manifest."""
    sources = {name: directory / "sources" / name for name in files}
    (directory / "sources").mkdir(parents=True, exist_ok=True)
    for name, path in sources.items():
        path.write_bytes(files[name])
    digests = tuple(archive.digest_file(path, name) for name, path in sources.items())
    manifest = manifest_of(files=digests, **changes)
    return archive.pack(manifest, sources, directory), manifest
