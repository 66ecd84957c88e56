"""How an archive is put together again from pieces that the bucket keeps by content.

An archive is three streams, interleaved by a layout: *large* members (tensors), cut into pieces of at most
`PIECE_BYTES`; *small* members, some of them per piece; and the *frame*, the zip headers between them, which
lies in the recipe itself. A piece is an object named by its SHA-256. The recipe is written when all pieces
are there: it is the commit point, and its own SHA-256 stands for every byte of the archive.

A recipe's *document* is a line of canonical JSON with sizes and layout, the 32 bytes of each piece's digest,
and the frame; its SHA-256 is what an install request names. The object is the document deflated, or a
*delta*: what differs from the document of another recipe of the same model, which lies beside the pieces. The
recipe of a new head would else be larger than the head. A delta is always of a whole recipe, so one more
object is all that a host fetches for it.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artifacts import canonical
from artifacts.canonical import Fields
from artifacts.delta import difference, patched
from artifacts.errors import ArtifactRefused, BadRequest, ServeFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import IO

FORMAT = "amazonei-recipe/2"
_DELTA = "amazonei-delta/1"
PIECE_BYTES = 16 << 20  # signing and sending one costs a client as much as hashing 3 MiB, however small it is
BASE_SUFFIX = ".recipe"
FRAME, SMALL, LARGE = 0, 1, 2
_STREAMS = (FRAME, SMALL, LARGE)
PIECES = "artifacts/pieces/"
_SCOPE = r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}/"
_PREFIX = re.compile(PIECES + _SCOPE)
_DIGEST_BYTES = hashlib.sha256().digest_size
_TOLD = re.compile(
    rb"%b (?P<scope>%b)\n(?P<digest>.{%d})" % (_DELTA.encode(), _SCOPE.encode(), _DIGEST_BYTES), re.DOTALL
)
MAX_BYTES = 64 << 20  # of a recipe unpacked: about a million pieces
MOST_DELTA_BYTES = 4 << 20  # of its base, and of what it makes: runs take many times their bytes
_AGAIN = "Ship it again with --resend, which sends every piece anew."


@dataclass(frozen=True, slots=True)
class Piece:
    """An object by content; of `PIECE_BYTES` at most."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The pieces of an archive, and the order that makes them one."""

    prefix: str  # of the pieces' keys
    frame: bytes
    small: tuple[Piece, ...]
    large: tuple[Piece, ...]
    layout: tuple[tuple[int, int], ...]  # (stream, bytes of it that come next)

    @property
    def size(self) -> int:
        """Return the bytes of the archive."""
        return sum(count for _, count in self.layout)

    @property
    def pieces(self) -> frozenset[str]:
        """Return the SHA-256 of every piece that is needed."""
        return frozenset(piece.sha256 for piece in (*self.small, *self.large))

    @property
    def largest(self) -> int:
        """Return the bytes of the largest piece."""
        return max((piece.size for piece in (*self.small, *self.large)), default=0)

    def document(self) -> bytes:
        """Return the bytes that stand for the archive; their SHA-256 names it."""
        head = {
            "format": FORMAT,
            "prefix": self.prefix,
            "small": [piece.size for piece in self.small],
            "large": [piece.size for piece in self.large],
            "layout": [number for run in self.layout for number in run],
        }
        digests = [bytes.fromhex(piece.sha256) for piece in (*self.small, *self.large)]
        return b"".join([canonical.encode(head), b"\n", *digests, self.frame])

    @classmethod
    def parse(cls, document: bytes) -> Recipe:
        """Read a recipe's document; raises ArtifactRefused for one that makes no whole archive."""
        try:
            head, _, rest = document.partition(b"\n")
            recipe = _read(Fields.parse(head, "recipe"), rest)
        except BadRequest as error:
            raise _unreadable(error) from error
        for stream, there in enumerate(recipe.sizes()):
            if there != sum(count for kind, count in recipe.layout if kind == stream):
                raise ArtifactRefused("The recipe's pieces and its layout disagree.", _AGAIN)
        return recipe

    def sizes(self) -> tuple[int, int, int]:
        """Return the bytes of the three streams."""
        small, large = (sum(piece.size for piece in pieces) for pieces in (self.small, self.large))
        return len(self.frame), small, large


def packed(document: bytes) -> bytes:
    """Return the object of a recipe that stands for itself."""
    return zlib.compress(document, 9)


def delta(document: bytes, base: bytes, prefix: str) -> bytes:
    """Return the object of a recipe that is told by what differs from another one's document.

    Deflated: a line with the format and whose pieces the other one lies beside, its document's SHA-256, and
    the difference.
    """
    head = f"{_DELTA} {prefix.removeprefix(PIECES)}\n".encode("ascii")
    return zlib.compress(head + hashlib.sha256(base).digest() + difference(base, document), 9)


def base_key(prefix: str, sha256: str) -> str:
    """Return where a recipe lies that deltas may be of, by the SHA-256 of its document."""
    return f"{prefix}{sha256}{BASE_SUFFIX}"


def unpacked(data: bytes, get: Callable[[str], bytes]) -> bytes:
    """Return the document of a recipe's object; of a delta's base, `get` fetches the object by key.

    Whoever asks compares the document's SHA-256: it answers for base and delta alike. Raises ArtifactRefused
    for an object that is neither a recipe nor a delta of one, and for more than `MAX_BYTES`.
    """
    try:
        document = _inflated(data)
        told = _TOLD.match(document)
        if told is None:
            return document
        key = base_key(PIECES + told["scope"].decode("ascii"), told["digest"].hex())
        base = _inflated(get(key), MOST_DELTA_BYTES)
        return patched(base, document[told.end() :], MOST_DELTA_BYTES)
    except ValueError as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> ArtifactRefused:
    return ArtifactRefused(f"The recipe of the artifact cannot be read: {error}", _AGAIN)


def _inflated(data: bytes, most: int = MAX_BYTES) -> bytes:
    inflater = zlib.decompressobj()
    try:
        document = inflater.decompress(data, most)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not inflater.eof or inflater.unused_data:
        raise ValueError(f"it is cut off, larger than {most >> 20} MiB, or followed by something else")
    return document


def _read(fields: Fields, rest: bytes) -> Recipe:
    if fields.text("format") != FORMAT:
        raise BadRequest(f"This tool reads {FORMAT!r} only.")
    numbers = fields.integers("layout")
    if len(numbers) % 2:
        raise BadRequest("The layout is not of pairs.")
    layout = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    if any(stream not in _STREAMS for stream, _ in layout):
        raise BadRequest("The layout names a stream that there is not.")
    small, large = fields.integers("small"), fields.integers("large")
    pieces = _pieces((*small, *large), rest)
    recipe = Recipe(
        prefix=fields.text("prefix", _PREFIX),
        frame=rest[_DIGEST_BYTES * len(pieces) :],
        small=pieces[: len(small)],
        large=pieces[len(small) :],
        layout=layout,
    )
    fields.finish()
    return recipe


def _pieces(sizes: tuple[int, ...], rest: bytes) -> tuple[Piece, ...]:
    """Return the pieces of these sizes, whose digests are what the rest begins with."""
    if not all(0 < size <= PIECE_BYTES for size in sizes):
        raise BadRequest(f"A piece has from 1 to {PIECE_BYTES} bytes.")
    if len(rest) < _DIGEST_BYTES * len(sizes):
        raise BadRequest("Digests of pieces are missing.")
    digests = (rest[at : at + _DIGEST_BYTES] for at in range(0, len(rest), _DIGEST_BYTES))
    return tuple(Piece(digest.hex(), size) for digest, size in zip(digests, sizes, strict=False))


def assemble(recipe: Recipe, pieces: Path, archive: Path) -> None:
    """Write the archive from a directory of pieces, each compared with its SHA-256 before it is used.

    Holds two pieces in memory. Raises ServeFailed for a piece that is missing or is another.
    """
    sources = {
        FRAME: _Source(iter([recipe.frame])),
        SMALL: _Source(_verified(piece, pieces) for piece in recipe.small),
        LARGE: _Source(_verified(piece, pieces) for piece in recipe.large),
    }
    with archive.open("xb") as whole:
        for stream, count in recipe.layout:
            sources[stream].copy(count, whole)


def _verified(piece: Piece, directory: Path) -> bytes:
    path = directory / piece.sha256
    try:
        data = path.read_bytes() if path.stat().st_size == piece.size else b""
    except FileNotFoundError as error:
        raise ServeFailed(f"Piece {piece.sha256[:12]}… is not in the bucket.", _AGAIN) from error
    if len(data) != piece.size or hashlib.sha256(data).hexdigest() != piece.sha256:
        raise ServeFailed(f"Piece {piece.sha256[:12]}… has other bytes than its name says.", _AGAIN)
    return data


class _Source:
    """One stream of an archive, taken in order."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = memoryview(b"")

    def copy(self, count: int, target: IO[bytes]) -> None:
        """Write the next `count` bytes; a recipe that was decoded has them."""
        while count:
            if not self._left:
                self._left = memoryview(next(self._chunks))
            taken, self._left = self._left[:count], self._left[count:]
            target.write(taken)
            count -= len(taken)
