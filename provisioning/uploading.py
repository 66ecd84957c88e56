"""Put an archive into the bucket as pieces named by their content; the recipe comes last and commits.

Every byte is read and hashed once, in the thread that sends it; the digest is the piece's name, what S3
checks the bytes against, and the recipe's entry. A piece that is there already is not sent, so an upload that
was interrupted goes on where it stopped, and nothing half-made is billed as an unfinished multipart upload.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from artifacts.errors import ArtifactRefused
from artifacts.recipe import Piece, Recipe
from provisioning.cutting import cut
from provisioning.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from provisioning.aws.s3 import S3
    from provisioning.cutting import Cutting, Extent
    from provisioning.waiting import Clock

Item = TypeVar("Item")
Done = TypeVar("Done")

# Connections at once, each with one piece in memory. S3 gives one connection 85 to 90 MB/s.
CONNECTIONS = 8
PIECES = "artifacts/pieces/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An archive in the bucket: its recipe, and what had to be sent for it."""

    key: str
    sha256: str  # of the recipe
    objects: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What to upload, where, and how to tell about it."""

    s3: S3
    bucket: str
    key: str  # of the recipe
    scope: str  # pieces are shared within it: versions of one model
    clock: Clock
    say: Callable[[str], None]

    @property
    def prefix(self) -> str:
        """Return what the pieces' keys begin with; one listing of it says which are there."""
        return f"{PIECES}{re.sub('[^A-Za-z0-9_-]', '-', self.scope)}/"


def store(upload: Upload, path: Path, *, resend: bool = False) -> Stored:
    """Send what is not in the bucket yet; return where the archive's recipe is.

    With `resend`, everything is sent, whatever the bucket says it has. An unchanged archive costs a request.
    """
    stored = None if resend else upload.s3.head_object(upload.bucket, upload.key)
    cutting = cut(path)
    if stored is not None:
        body = _recipe(upload, cutting, path, _hash_only).encode()
        # A recipe that somebody put over ours lacks our note, and is replaced; hosts check every byte.
        if (stored.size, stored.metadata.get("sha256")) == (len(body), _sha256(body)):
            upload.say(f"{upload.key} is in the bucket already")
            return Stored(key=upload.key, sha256=_sha256(body), objects=0, bytes=0)
    there = {} if resend else upload.s3.sizes(upload.bucket, upload.prefix)
    sending = _Sending(upload, there, path.stat().st_size)
    body = _recipe(upload, cutting, path, sending.piece).encode()
    _commit(upload, body, replace=stored is not None or resend)
    sending.tell_end()
    return Stored(
        key=upload.key, sha256=_sha256(body), objects=sending.objects + 1, bytes=sending.sent + len(body)
    )


def _commit(upload: Upload, body: bytes, *, replace: bool) -> None:
    """Write the recipe; one that another upload of the same archive has just written is the same."""
    note = {"sha256": _sha256(body)}
    upload.s3.put_noted(upload.bucket, upload.key, body, note, only_if_absent=not replace)


def _sha256(data: bytes | bytearray) -> str:
    return hashlib.sha256(data).hexdigest()


def _hash_only(data: bytes | bytearray) -> Piece:
    return Piece(_sha256(data), len(data))


def _recipe(
    upload: Upload, cutting: Cutting, path: Path, take: Callable[[bytes | bytearray], Piece]
) -> Recipe:
    """Let `take` have every piece's bytes, several at once, and return the recipe of what it says."""
    bundles = [*cutting.small, *cutting.large]
    with path.open("rb") as stream:
        pieces = side_by_side(bundles, lambda extents: take(_bytes(stream.fileno(), extents)))
    small = len(cutting.small)
    return Recipe(
        prefix=upload.prefix,
        frame=cutting.frame,
        small=tuple(pieces[:small]),
        large=tuple(pieces[small:]),
        layout=cutting.layout,
    )


_own = threading.local()


def _bytes(file: int, extents: Sequence[Extent]) -> bytearray:
    """Return a piece in this thread's buffer, which the next piece of its size overwrites.

    New memory for each piece would be mapped, zeroed and given back by the system, which costs as much as
    hashing it.
    """
    size = sum(extent.size for extent in extents)
    buffer: bytearray = getattr(_own, "buffer", bytearray())
    if len(buffer) != size:
        buffer = _own.buffer = bytearray(size)
    at = 0
    for extent in extents:
        got = os.preadv(file, [memoryview(buffer)[at : at + extent.size]], extent.offset)
        if got != extent.size:
            raise ArtifactRefused("The artifact was cut off while it was read.", "Compile it again.")
        at += extent.size
    return buffer


def side_by_side(items: Sequence[Item], work: Callable[[Item], Done]) -> list[Done]:
    """Do the work for each, `CONNECTIONS` at once; the first failure, or an interruption, drops the rest."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]


@dataclass(slots=True)
class _Sending:
    """Sends pieces from several threads, each once, and tells how far it is."""

    upload: Upload
    there: dict[str, int]  # bytes by key
    total: int
    objects: int = 0
    sent: int = 0
    _progress: Progress = field(init=False)
    _claimed: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._progress = Progress(self.total, self.upload.clock, self.upload.say)

    def piece(self, data: bytes | bytearray) -> Piece:
        """Send a piece unless it is there, with its size, or on its way; return its name."""
        digest = hashlib.sha256(data)
        piece = Piece(digest.hexdigest(), len(data))
        key = self.upload.prefix + piece.sha256
        with self._lock:
            wanted = piece.sha256 not in self._claimed and self.there.get(key) != piece.size
            self._claimed.add(piece.sha256)
        if wanted:
            self.upload.s3.put_piece(self.upload.bucket, key, data, digest.digest())
        with self._lock:
            self.objects += wanted
            self.sent += piece.size if wanted else 0
        self._progress.add(piece.size)
        return piece

    def tell_end(self) -> None:
        """Say how much was sent, and how much was there."""
        spared = max(self.total - self.sent, 0) / 1e6
        self.upload.say(f"sent {self.sent / 1e6:.1f} MB in {self.objects} pieces; {spared:.1f} MB were there")
