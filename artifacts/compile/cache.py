"""Finished work by the digest of everything it depends on: there whole and as written, or not at all."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts import canonical
from artifacts.archive import digest_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ENTRY = "entry.json"


def cache_directory() -> Path:
    """Return $XDG_CACHE_HOME/amazonei/compile."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "amazonei", "compile")


@dataclass(frozen=True, slots=True)
class Entry:
    """What was kept: a document and files, already compared with their digests."""

    document: dict[str, Any]
    files: dict[str, Path]


@dataclass(frozen=True, slots=True)
class Store:
    """Entries in a local directory, one directory per key."""

    directory: Path

    def find(self, key: str) -> Entry | None:
        """Return the entry; a corrupt one is removed and is none."""
        place = self.directory / "entries" / key
        try:
            entry = _verified(place)
        except (OSError, ValueError, KeyError, TypeError):
            shutil.rmtree(place, ignore_errors=True)
            return None
        return entry

    def keep(self, key: str, document: Mapping[str, Any], files: Mapping[str, Path]) -> None:
        """Write an entry beside its place and move it there; one that is there already stays."""
        entries = self.directory / "entries"
        entries.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=entries, prefix=".keeping-"))
        try:
            for name, source in files.items():
                shutil.copyfile(source, scratch / name)
            digests = {name: digest_file(scratch / name, name).sha256 for name in files}
            body = {"document": dict(document), "files": digests}
            sealed = {"body": body, "sha256": canonical.sha256(canonical.encode(body))}
            (scratch / _ENTRY).write_bytes(canonical.encode(sealed))
            _replace(scratch, entries / key)
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


def _verified(place: Path) -> Entry:
    sealed = json.loads((place / _ENTRY).read_bytes())
    body = sealed["body"]
    if canonical.sha256(canonical.encode(body)) != sealed["sha256"]:
        raise ValueError(place)
    for name, sha256 in body["files"].items():
        if digest_file(place / name, name).sha256 != sha256:
            raise ValueError(name)
    return Entry(dict(body["document"]), {name: place / name for name in body["files"]})
