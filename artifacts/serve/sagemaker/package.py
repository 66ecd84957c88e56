"""Make the `model.tar.gz` of an artifact: the same artifact and the same code give the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import artifacts
from artifacts import canonical
from artifacts.archive import open_verified
from artifacts.serve.bundle import bundle_sources
from artifacts.serve.sagemaker.layout import ARTIFACT_NAME, CODE, EI_EXPECTED, EI_PROGRAM, ENTRY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from artifacts.archive import Contents
    from artifacts.manifest import Manifest

_PACKAGE = Path(artifacts.__file__).parent
_HERE = Path(__file__).parent
_PROGRAM = "program.pt"
_ELASTIC_INFERENCE = "torchscript-eia"
# Weights hardly compress (7 % for float32), and a stored stream is written at the speed of the disk.
_LEVEL = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPackage:
    """A package on this machine."""

    path: Path
    size: int  # bytes
    sha256: str  # of the package's bytes
    manifest: Manifest

    @property
    def key(self) -> str:
        """The object's key in the deployment's bucket: SageMaker wants the name to end so."""
        return f"artifacts/packages/{self.sha256}.tar.gz"


def build_package(archive: Path, directory: Path) -> ModelPackage:
    """Write the package of a verified artifact into a directory and return it; raises ArtifactRefused.

    An artifact for Elastic Inference is unpacked to the `model.pt` its containers look for; others travel
    whole, and are verified again where they are opened.
    """
    with (
        closing(open_verified(archive)) as contents,
        tempfile.NamedTemporaryFile(dir=directory, prefix=".packing-", delete=False) as stream,
    ):
        temporary = Path(stream.name)
        try:
            _write(stream, _entries(archive, contents))
            stream.flush()
            with temporary.open("rb") as written:
                sha256 = hashlib.file_digest(written, "sha256").hexdigest()
            target = directory / f"{contents.manifest.name}-{contents.manifest.digest[:12]}.tar.gz"
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    return ModelPackage(path=target, size=target.stat().st_size, sha256=sha256, manifest=contents.manifest)


def _write(stream: IO[bytes], entries: Iterator[tuple[str, bytes | Path]]) -> None:
    with (
        gzip.GzipFile(filename="", fileobj=stream, mode="wb", compresslevel=_LEVEL, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, content in entries:
            if isinstance(content, bytes):
                tar.addfile(_entry(name, len(content)), io.BytesIO(content))
            else:
                with content.open("rb") as source:
                    tar.addfile(_entry(name, content.stat().st_size), source)


def _entry(name: str, size: int) -> tarfile.TarInfo:
    """Return an entry without a clock, an owner or a machine in it."""
    entry = tarfile.TarInfo(name)
    entry.size = size
    entry.mode = 0o644
    return entry


def _entries(archive: Path, contents: Contents) -> Iterator[tuple[str, bytes | Path]]:
    if contents.manifest.program == _ELASTIC_INFERENCE:
        yield from _elastic_inference(contents)
        return
    yield ARTIFACT_NAME, archive
    yield ENTRY, _HERE / "inference.py"
    for source in bundle_sources():
        yield f"{CODE}/artifacts/{source.relative_to(_PACKAGE).as_posix()}", source


def _elastic_inference(contents: Contents) -> Iterator[tuple[str, bytes | Path]]:
    manifest, program = contents.manifest, contents.read(_PROGRAM)
    yield EI_PROGRAM, program
    yield ENTRY, _HERE / "inference_eia.py"
    yield (
        EI_EXPECTED,
        canonical.encode(
            {
                "digest": manifest.digest,
                "sha256": canonical.sha256(program),
                "inputs": [spec.as_document() for spec in manifest.inputs],
                "outputs": [spec.as_document() for spec in manifest.outputs],
            }
        ),
    )
