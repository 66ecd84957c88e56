"""The artifact as one file: packed deterministically, opened only after every byte was checked.

`<name>-<target>-<digest[:12]>.aei` is a zip of stored entries with fixed times: `manifest.json` first, then
the files the manifest names, and last, where somebody signed it, `model.sig`. Nothing is deserialised, and
nothing outside a directory of the caller's can be written, until names, sizes and SHA-256 digests agree with
the manifest, and the signature with the key that is asked for.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import tempfile
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from artifacts.errors import ArtifactRefused
from artifacts.manifest import FileDigest, Manifest
from artifacts.signature import MAX_SIGNATURE_BYTES, SIGNATURE_NAME, PublicKey, check_signature

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MANIFEST_NAME = "manifest.json"
SUFFIX = ".aei"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_CHUNK = 1 << 20
_MAX_ENTRIES = 64
_MAX_MANIFEST_BYTES = 1 << 20
_REBUILD = "Compile the model again, or ship an artifact that `amazonei verify` accepts."


def digest_file(path: Path, name: str) -> FileDigest:
    """Return size and SHA-256 of a file that will be called `name` in the archive."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256") if hasattr(hashlib, "file_digest") else None
        if digest is None:  # Python 3.10
            digest = hashlib.sha256()
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    return FileDigest(path=name, bytes=path.stat().st_size, sha256=digest.hexdigest())


def archive_name(manifest: Manifest) -> str:
    """Return the file name of the artifact."""
    return f"{manifest.name}-{manifest.target}-{manifest.digest[:12]}{SUFFIX}"


def evidence_path(archive: Path) -> Path:
    """Return where parity, lane timings and the compiling machine are written down, beside the archive."""
    return archive.with_name(f"{archive.name}.json")


def pack(manifest: Manifest, sources: Mapping[str, Path], directory: Path) -> Path:
    """Write the archive and return its path; equal manifests give equal bytes.

    `sources` maps each name in `manifest.files` to the file that holds it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / archive_name(manifest)
    with _replacing(target) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_entry(MANIFEST_NAME), manifest.canonical())
        for file in sorted(manifest.files, key=lambda file: file.path):
            with sources[file.path].open("rb") as source:
                _copy_in(archive, file.path, source)
    return target


def add_signature(path: Path, signature: bytes) -> None:
    """Put a signature into an archive, in place of one that is there, as its last entry."""
    with (
        zipfile.ZipFile(path) as old,
        _replacing(path) as stream,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as new,
    ):
        for name in (name for name in old.namelist() if name != SIGNATURE_NAME):
            if name == MANIFEST_NAME:
                new.writestr(_entry(name), old.read(name))
            else:
                with old.open(name) as source:
                    _copy_in(new, name, source)
        new.writestr(_entry(SIGNATURE_NAME), signature)


@contextmanager
def _replacing(target: Path) -> Iterator[IO[bytes]]:
    """Write a file beside its place, and put it there whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".packing-", delete=False) as stream:
        temporary = Path(stream.name)
        try:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            temporary.chmod(0o644)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    entry.create_system = 3  # Unix, whatever system packs: it is a byte of the archive
    return entry


def _copy_in(archive: zipfile.ZipFile, name: str, source: IO[bytes]) -> None:
    with archive.open(_entry(name), "w", force_zip64=True) as entry:
        shutil.copyfileobj(source, entry, _CHUNK)


@dataclass(frozen=True, slots=True)
class Contents:
    """A verified archive, still open: what is read comes from the file that was checked.

    Close it, for example with `contextlib.closing`.
    """

    manifest: Manifest
    signature: bytes | None  # of `model.sig`; checked when `open_verified` was given the signer
    _archive: zipfile.ZipFile

    def read(self, name: str) -> bytes:
        """Return one file's bytes; raises ArtifactRefused when they changed since the check."""
        file = _listed(self.manifest, name)
        buffer = io.BytesIO()
        _copy_out(self._archive, file, buffer)
        return buffer.getvalue()

    def unpack(self, directory: Path) -> None:
        """Write everything into an existing directory, checking each file again on the way."""
        (directory / MANIFEST_NAME).write_bytes(self.manifest.canonical())
        if self.signature is not None:
            (directory / SIGNATURE_NAME).write_bytes(self.signature)
        for file in self.manifest.files:
            with (directory / file.path).open("xb") as copy:
                _copy_out(self._archive, file, copy)

    def close(self) -> None:
        """Close the file."""
        stream = self._archive.fp
        self._archive.close()
        if stream is not None:
            stream.close()


def _listed(manifest: Manifest, name: str) -> FileDigest:
    for file in manifest.files:
        if file.path == name:
            return file
    raise ArtifactRefused(f"The artifact has no {name}.", _REBUILD)


def _copy_out(archive: zipfile.ZipFile, file: FileDigest, copy: IO[bytes]) -> None:
    digest = hashlib.sha256()
    try:
        with archive.open(file.path) as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                copy.write(chunk)
    except zipfile.BadZipFile:
        pass  # its CRC noticed first; the digest cannot agree either
    if digest.hexdigest() != file.sha256:
        raise ArtifactRefused(f"{file.path} changed while the artifact was open.", _REBUILD)


def open_verified(
    path: Path,
    *,
    expected_digest: str | None = None,
    target: str | None = None,
    signer: PublicKey | None = None,
) -> Contents:
    """Open an artifact whose every byte is as its manifest says; raises ArtifactRefused otherwise.

    `expected_digest` is the manifest digest the caller was promised, `target` the accelerator that is here,
    `signer` the key that must have signed it; without one, a signature is not looked at.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise ArtifactRefused(f"{path.name} cannot be opened as an artifact: {error}", _REBUILD) from error
    contents: Contents | None = None
    try:
        manifest = _read_manifest(archive)
        _check_identity(manifest, expected_digest, target)
        signature = archive.read(SIGNATURE_NAME) if SIGNATURE_NAME in archive.namelist() else None
        if signer is not None:
            check_signature(manifest, signature, signer)
        _check_files(archive, manifest)
        contents = Contents(manifest, signature, archive)
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise ArtifactRefused(f"{path.name} is damaged: {error}", _REBUILD) from error
    finally:
        if contents is None:
            archive.close()
    return contents


def _read_manifest(archive: zipfile.ZipFile) -> Manifest:
    entries = archive.infolist()
    if not 0 < len(entries) <= _MAX_ENTRIES:
        raise ArtifactRefused(f"The archive has {len(entries)} entries.", _REBUILD)
    for entry in entries:
        _check_entry(entry)
    names = [entry.filename for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise ArtifactRefused(f"The archive holds {name} more than once.", _REBUILD)
    if MANIFEST_NAME not in names:
        raise ArtifactRefused("The archive has no manifest.", _REBUILD)
    if archive.getinfo(MANIFEST_NAME).file_size > _MAX_MANIFEST_BYTES:
        raise ArtifactRefused("The manifest is larger than 1 MiB.", _REBUILD)
    if SIGNATURE_NAME in names and archive.getinfo(SIGNATURE_NAME).file_size > MAX_SIGNATURE_BYTES:
        raise ArtifactRefused("The signature is larger than 256 KiB.", _REBUILD)
    return Manifest.from_json(archive.read(MANIFEST_NAME))


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    if name.startswith("/") or "\\" in name or ".." in name.split("/") or ":" in name:
        raise ArtifactRefused(f"The archive names a file outside itself: {name!r}.", _REBUILD)
    if "/" in name:
        raise ArtifactRefused(f"The archive has a directory: {name!r}.", _REBUILD)
    if stat.S_IFMT(entry.external_attr >> 16) != stat.S_IFREG:
        raise ArtifactRefused(f"{name!r} is not a regular file.", _REBUILD)
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 0x1:
        raise ArtifactRefused(f"{name!r} is compressed or encrypted.", _REBUILD)
    if entry.file_size != entry.compress_size:
        raise ArtifactRefused(f"{name!r} lies about its size.", _REBUILD)


def _check_identity(manifest: Manifest, expected_digest: str | None, target: str | None) -> None:
    if expected_digest is not None and manifest.digest != expected_digest:
        raise ArtifactRefused(
            f"The artifact is {manifest.digest[:12]}, not the expected {expected_digest[:12]}.", _REBUILD
        )
    if target is not None and manifest.target != target:
        raise ArtifactRefused(
            f"The artifact was made for {manifest.target}; this is {target}.",
            f"Compile with --target {target}.",
        )


def _check_files(archive: zipfile.ZipFile, manifest: Manifest) -> None:
    listed = [file.path for file in manifest.files]
    apart = {MANIFEST_NAME, SIGNATURE_NAME}
    present = [entry.filename for entry in archive.infolist() if entry.filename not in apart]
    if sorted(listed) != sorted(present):
        differing = ", ".join(sorted(set(listed) ^ set(present))) or "a name twice"
        raise ArtifactRefused(f"Manifest and archive disagree about: {differing}.", _REBUILD)
    for file in manifest.files:
        if archive.getinfo(file.path).file_size != file.bytes:
            raise ArtifactRefused(f"{file.path} does not have the size in the manifest.", _REBUILD)
        if _digest_of(archive, file.path) != file.sha256:
            raise ArtifactRefused(f"{file.path} does not have the SHA-256 in the manifest.", _REBUILD)


def _digest_of(archive: zipfile.ZipFile, name: str) -> str:
    digest = hashlib.sha256()
    with archive.open(name) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
