"""Finished work by the digest of everything it depends on: there whole and as written, or not at all."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from artifacts import canonical
from artifacts.archive import digest_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ENTRY = "entry.json"  # a document, and the SHA-256 of each file beside it, sealed with its own
_DIGEST = re.compile("[0-9a-f]{64}")
_NAME = re.compile("[a-z]+")
# What a machine refuses to write for: a full disk, or a place that is not this user's.
REFUSALS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR})
# What reading raises that is not as `keep` writes it.
CORRUPT = (OSError, ValueError, KeyError, TypeError, AttributeError)


def cache_directory() -> Path:
    """Return $XDG_CACHE_HOME/amazonei/compile."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "amazonei", "compile")


@dataclass(frozen=True, slots=True)
class Entry:
    """What was kept: a document and files, already compared with their digests."""

    document: dict[str, Any]
    files: dict[str, Path]


class Beyond(Protocol):
    """Where entries are besides this machine."""

    def fetch(self, key: str) -> bool:
        """Bring an entry into the local directory; return whether it is there now."""

    def kept(self, key: str) -> None:
        """Hear that an entry was written to the local directory."""


@dataclass(frozen=True, slots=True)
class Store:
    """Entries in a local directory, one directory per key; what is not there may be fetched from beyond."""

    directory: Path
    beyond: Beyond | None = None

    def place(self, key: str) -> Path:
        """Return the directory of an entry, there or not."""
        return self.directory / "entries" / key

    def find(self, key: str) -> Entry | None:
        """Return the entry; a corrupt one is removed and is none."""
        entry = self._here(key)
        if entry is None and self.beyond is not None and self.beyond.fetch(key):
            entry = self._here(key)
        return entry

    def _here(self, key: str) -> Entry | None:
        place = self.place(key)
        try:
            return verified(place, key)
        except CORRUPT:
            shutil.rmtree(place, ignore_errors=True)
            return None

    def usable(self) -> str:
        """Return why nothing can be written here; empty where it can."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.directory):
                return ""
        except OSError as error:
            return error.strerror or str(error)

    def keep(self, key: str, document: Mapping[str, Any], files: Mapping[str, Path]) -> str:
        """Write an entry beside its place and move it there; return why that cannot be done, or nothing."""
        try:
            self._keep(key, document, files)
        except OSError as error:
            if error.errno not in REFUSALS:
                raise
            return error.strerror or str(error)
        if self.beyond is not None:
            self.beyond.kept(key)
        return ""

    def _keep(self, key: str, document: Mapping[str, Any], files: Mapping[str, Path]) -> None:
        with self.arriving(key) as scratch:
            for name, source in files.items():
                shutil.copyfile(source, scratch / name)
            digests = {name: digest_file(scratch / name, name).sha256 for name in files}
            body = {"key": key, "document": dict(document), "files": digests}
            sealed = {"body": body, "sha256": canonical.sha256(canonical.encode(body))}
            (scratch / ENTRY).write_bytes(canonical.encode(sealed))

    @contextmanager
    def arriving(self, key: str) -> Iterator[Path]:
        """Yield a directory to fill; then move it to the key's place, whole, over what was there."""
        entries = self.directory / "entries"
        entries.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=entries, prefix=".arriving-"))
        try:
            yield scratch
            _replace(scratch, self.place(key))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    @contextmanager
    def sole(self, key: str) -> Iterator[None]:
        """Hold the key's lock: who waits for it finds the entry that the holder wrote."""
        locks = self.directory / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        with (locks / key).open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)  # released by closing, also when this process is killed
            yield


def _replace(scratch: Path, place: Path) -> None:
    """Move a directory into place, over an older one if there is one."""
    if place.exists():
        shutil.rmtree(place, ignore_errors=True)
    scratch.rename(place)


def listed(sealed: bytes, key: str) -> dict[str, str]:
    """Return the files of a sealed entry with their SHA-256; raises one of `CORRUPT`."""
    return dict(_body(sealed, key)["files"])


def _body(sealed: bytes, key: str) -> dict[str, Any]:
    """Check the seal, the key, and that names and digests can be nothing but that: they become paths."""
    document = json.loads(sealed)
    body: dict[str, Any] = document["body"]
    if canonical.sha256(canonical.encode(body)) != document["sha256"] or body["key"] != key:
        raise ValueError(key)
    for name, sha256 in body["files"].items():
        if not (_NAME.fullmatch(name) and _DIGEST.fullmatch(sha256)):
            raise ValueError(name)
    return body


def verified(place: Path, key: str) -> Entry:
    """Return the entry in a directory after reading every byte of it; raises one of `CORRUPT`."""
    body = _body((place / ENTRY).read_bytes(), key)
    for name, sha256 in body["files"].items():
        if digest_file(place / name, name).sha256 != sha256:
            raise ValueError(name)
    return Entry(dict(body["document"]), {name: place / name for name in body["files"]})
