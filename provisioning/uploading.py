"""Put an archive into the bucket as pieces named by their content; the recipe comes last and commits.

Every byte is hashed once; the digest is the piece's name, what S3 checks the bytes against, and the recipe's
entry. It is read again to be sent, out of the system's cache: memory for whole pieces would cost more. A
piece that is there already is not sent, so an upload that was interrupted goes on where it stopped, and
nothing half-made is billed as an unfinished multipart upload. What is there is asked while the first pieces
are hashed: the answer takes a client and two round trips. The recipe's metadata notes what else was there by
then, so the question about it answers for all of it.
"""

from __future__ import annotations

import hashlib
import re
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from artifacts.errors import ArtifactRefused
from artifacts.recipe import BASE_SUFFIX, PIECES, Piece, Recipe, packed
from provisioning.aws.blocks import Blocks
from provisioning.committing import commit, write
from provisioning.cutting import cut
from provisioning.errors import AwsError
from provisioning.progress import Progress, size_text
from provisioning.transfers import go_on, result_of, side_by_side, threads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from provisioning.aws.s3 import S3, ListedObject, ObjectRecord
    from provisioning.cutting import Cutting, Extent
    from provisioning.waiting import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An archive in the bucket: its recipe, and what had to be sent for it."""

    key: str
    sha256: str  # of the recipe's document
    objects: int
    bytes: int


class Account(Protocol):
    """Where the bucket is."""

    @property
    def s3(self) -> S3:
        """Return the service; making its client takes a fifth of a second, the first time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """What hosts fetch beside an archive, by digest; the recipe's note says which are in the bucket."""

    name: str  # of the note's entry
    sha256: str
    put: Callable[[], object]  # which looks first


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What to upload, where, and how to tell about it."""

    account: Account
    bucket: str
    key: str  # of the recipe
    scope: str  # pieces are shared within it: versions of one model
    clock: Clock
    say: Callable[[str], None]
    companions: tuple[Companion, ...] = ()

    @property
    def prefix(self) -> str:
        """Return what the pieces' keys begin with; one listing of it says which are there."""
        return f"{PIECES}{re.sub('[^A-Za-z0-9_-]', '-', self.scope)}/"


def store(upload: Upload, path: Path, *, resend: bool = False) -> Stored:
    """Send what is not in the bucket yet; return where the archive's recipe is.

    With `resend`, everything is sent, whatever the bucket says it has. An unchanged archive whose companions
    are noted costs a request.
    """
    with path.open("rb") as stream, threads(1) as aside:
        cutting = cut(path)
        look = aside.submit(_look, upload, resend=resend)
        sending = _Sending(upload, look, stream.fileno(), path.stat().st_size)
        ahead = sending.hash_until_known(cutting.pieces)
        rest = side_by_side(cutting.pieces[len(ahead) :], sending.take)
        document = _recipe(upload, cutting, [*ahead, *rest]).document()
        there = result_of(look)
        upload, stored = _place(upload, there.stored, _sha256(document))
        noted = {} if stored is None or resend else stored.metadata
        news = _put_companions(upload, noted)
        if noted.get("sha256") == _sha256(document):
            upload.say(f"{upload.key} is in the bucket already")
            sent = write(upload, packed(document), {**noted, **news}, replace=True) if news else 0
            return _stored(upload, document, objects=1 if news else 0, sent=sent)
        sending.finish()
    objects, sent = commit(upload, document, there.recipes, sending.sent, replace=stored is not None)
    done = _stored(upload, document, objects=sending.objects + objects, sent=sending.sent + sent)
    spared = size_text(sending.spared)
    upload.say(f"sent {size_text(done.bytes)} in {done.objects} objects; {spared} were there")
    return done


def _place(upload: Upload, stored: ObjectRecord | None, digest: str) -> tuple[Upload, ObjectRecord | None]:
    """Return where the recipe goes, and what is there.

    The same artifact is put together otherwise when it was signed anew, or cut by another version of this
    tool. Hosts may still be asked for the recipe that is there, so ours goes beside it. One that somebody put
    over ours lacks our note, and is replaced; hosts check every byte.
    """
    if stored is None or stored.metadata.get("sha256") in (None, digest):
        return upload, stored
    beside = replace(upload, key=f"{upload.key.removesuffix(BASE_SUFFIX)}.{digest[:16]}{BASE_SUFFIX}")
    return beside, upload.account.s3.head_object(upload.bucket, beside.key)


@dataclass(frozen=True, slots=True)
class _Look:
    """What the bucket has."""

    stored: ObjectRecord | None  # at the recipe's key
    there: dict[str, int] | None  # bytes of each piece by key; None: not asked, the recipe's may all be there
    recipes: tuple[ListedObject, ...] = ()  # beside the pieces


def _look(upload: Upload, *, resend: bool) -> _Look:
    """Ask for the recipe, and for pieces where there is none; with `resend` no piece counts as there."""
    stored = upload.account.s3.head_object(upload.bucket, upload.key)
    if resend:
        return _Look(stored, {})
    if stored is not None:
        return _Look(stored, None)
    listed = _listed(upload)
    recipes = tuple(each for each in listed if each.key.endswith(BASE_SUFFIX))
    return _Look(None, _sizes(listed), recipes)


def _listed(upload: Upload) -> tuple[ListedObject, ...]:
    return upload.account.s3.listed(upload.bucket, upload.prefix)


def _sizes(objects: Sequence[ListedObject]) -> dict[str, int]:
    return {each.key: each.size for each in objects}


def _put_companions(upload: Upload, noted: Mapping[str, str]) -> dict[str, str]:
    """Let every companion be in the bucket that the recipe's note does not name; return what to note."""
    missing = [each for each in upload.companions if noted.get(each.name) != each.sha256]
    for each in missing:
        each.put()
    return {each.name: each.sha256 for each in missing}


def _stored(upload: Upload, document: bytes, *, objects: int, sent: int) -> Stored:
    return Stored(key=upload.key, sha256=_sha256(document), objects=objects, bytes=sent)


def _sha256(data: bytes | bytearray) -> str:
    return hashlib.sha256(data).hexdigest()


def _recipe(upload: Upload, cutting: Cutting, pieces: Sequence[Piece]) -> Recipe:
    small = len(cutting.small)
    return Recipe(
        prefix=upload.prefix,
        frame=cutting.frame,
        small=tuple(pieces[:small]),
        large=tuple(pieces[small:]),
        layout=cutting.layout,
    )


@dataclass(slots=True)
class _Sending:
    """Sends pieces from several threads, each once, and tells how far it is."""

    upload: Upload
    look: Future[_Look]
    file: int
    total: int
    objects: int = 0
    sent: int = 0
    spared: int = 0  # bytes that were there, or twice in the archive
    _later: list[tuple[Piece, Sequence[Extent]]] = field(default_factory=list)  # of unknown presence
    _progress: Progress = field(init=False)
    _claimed: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._progress = Progress(self.total, self.upload.clock, self.upload.say)

    def hash_until_known(self, bundles: Sequence[Sequence[Extent]]) -> list[Piece]:
        """Return the names of the first pieces: as many as are hashed until it is known what is there.

        One core does it, and is left alone with that: another makes the client meanwhile.
        """
        pieces = []
        for extents in bundles:
            if self.look.done():
                break
            pieces.append(self._put_off(extents))
        return pieces

    def take(self, extents: Sequence[Extent]) -> Piece:
        """Hash a piece and return its name; it is sent now if it is known what is there, else by `finish`."""
        there = self.look.result().there
        if there is None:
            return self._put_off(extents)
        piece = self._named(extents)
        self._offer(piece, extents, there)
        return piece

    def finish(self) -> None:
        """Send what was put off."""
        there = self.look.result().there
        known = _sizes(_listed(self.upload)) if there is None else there
        side_by_side(self._later, lambda each: self._offer(*each, known))

    def _put_off(self, extents: Sequence[Extent]) -> Piece:
        piece = self._named(extents)
        with self._lock:
            self._later.append((piece, extents))
        return piece

    def _named(self, extents: Sequence[Extent]) -> Piece:
        digest, blocks = hashlib.sha256(), Blocks(self.file, extents, go_on)
        for block in blocks:
            digest.update(block)
        return Piece(digest.hexdigest(), len(blocks))

    def _offer(self, piece: Piece, extents: Sequence[Extent], there: Mapping[str, int]) -> None:
        """Send the piece unless it is there, with its size, or on its way."""
        key = self.upload.prefix + piece.sha256
        with self._lock:
            wanted = piece.sha256 not in self._claimed and there.get(key) != piece.size
            self._claimed.add(piece.sha256)
        if wanted:
            self._send(piece, key, Blocks(self.file, extents, self._told))
        else:
            self._progress.add(piece.size)
        with self._lock:
            self.objects += wanted
            self.sent += piece.size if wanted else 0
            self.spared += 0 if wanted else piece.size

    def _told(self, count: int) -> None:
        go_on()
        self._progress.add(count)

    def _send(self, piece: Piece, key: str, body: Blocks) -> None:
        try:
            self.upload.account.s3.put_blocks(self.upload.bucket, key, body, bytes.fromhex(piece.sha256))
        except AwsError as error:
            if error.aws_code != "BadDigest":
                raise
            raise ArtifactRefused("The artifact was changed while it was read.", "Ship it again.") from error
