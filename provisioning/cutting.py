"""Where to cut an archive, so that what did not change is cut out the same way again.

TorchScript programs and `.pt2` packages are zips of stored members, a member per tensor, inside the archive.
So the cuts follow the members: a retrained head changes its own tensors' pieces and no others, and weights
folded into a frozen program are still members of it. Golden requests are cut at their tensors too: a new head
answers the same inputs otherwise. A member that is one large file (the shared library of an AOTInductor
package) is cut at fixed places from its own start.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import zipfile
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, NamedTuple

from artifacts.recipe import FRAME, LARGE, PIECE_BYTES, SMALL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Members below this lie in one stream, and several share a piece of about this size: a request costs as much
# as sending 64 KiB.
SMALL_BYTES = 64 << 10
# From this on they share it with none. A head of two labels (6 KiB) would else bring its neighbours along
# whenever it is trained anew; biases and norms (3 KiB) still travel together.
ALONE_BYTES = 4 << 10
_LENGTH_BYTES, MOST_HEADER_BYTES = 8, 1 << 20  # of a safetensors file's header
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, then the lengths of name and extra field
# Up to this a member lies in the recipe itself, where a digest of it would cost about as much.
TOLD_BYTES = 64
# Of a zip's directory, which has a checksum of each member: some 7,000 members.
MOST_GAP_BYTES = 1 << 20
_HEAD = 2  # a weight and a bias
_FOLDERS = 2  # PyTorch's: archive/data, archive/code, archive/.data
_ONE_IN = 16  # of small members ends a piece, chosen by content so that an insertion shifts no later cut


class Extent(NamedTuple):
    """Bytes of the archive."""

    offset: int
    size: int


class _Member(NamedTuple):
    """Data of a zip's member, or what lies between members."""

    offset: int
    size: int
    home: str = ""  # which zip it lies in, and its upper folders there; the archive's own files have none


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutting:
    """An archive's three streams: where each piece's bytes lie, and how the streams interleave."""

    frame: bytes
    small: tuple[tuple[Extent, ...], ...]
    large: tuple[tuple[Extent, ...], ...]
    layout: tuple[tuple[int, int], ...]

    @property
    def pieces(self) -> tuple[tuple[Extent, ...], ...]:
        """Return where the bytes of every piece lie, the small ones first."""
        return self.small + self.large


def cut(path: Path) -> Cutting:
    """Return where to cut a file; one that is no zip is cut at fixed places."""
    with path.open("rb") as stream:
        file = stream.fileno()
        size = os.fstat(file).st_size
        runs = list(_runs(_members(stream, _Member(0, size)), size))
        frame = b"".join(os.pread(file, gap.size, gap.offset) for kind, gap in runs if kind == FRAME)
        return Cutting(
            frame=frame,
            small=tuple(_bundles(file, [member for kind, member in runs if kind == SMALL])),
            large=tuple((part,) for kind, member in runs if kind == LARGE for part in _parts(member)),
            layout=tuple(
                (kind, sum(member.size for _, member in group))
                for kind, group in groupby(runs, key=itemgetter(0))
            ),
        )


def _members(stream: io.BufferedReader, place: _Member, depth: int = 1) -> list[_Member]:
    """Return the data of a zip's members, and of the members that are zips themselves, in order."""
    window = _Window(stream.fileno(), place)
    tensors = _tensors(window, place)
    if tensors:
        return tensors
    try:
        with zipfile.ZipFile(window) as archive:
            found = sorted(_data(window, place, entry) for entry in archive.infolist())
    except (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError):
        return [place]
    if not found or any(before.offset + before.size > after.offset for before, after in pairwise(found)):
        return [place]
    if depth:
        found = [inner for member in found for inner in _members(stream, member, depth - 1)]
    return [member for member in found if member.size]


def _data(window: _Window, place: _Member, entry: zipfile.ZipInfo) -> _Member:
    window.seek(entry.header_offset)
    signature, name, extra = _LOCAL_HEADER.unpack(window.read(_LOCAL_HEADER.size))
    start = entry.header_offset + _LOCAL_HEADER.size + name + extra
    if signature != b"PK\x03\x04" or start + entry.compress_size > place.size:
        raise ValueError(entry.filename)
    folders = entry.filename.split("/")[:-1]
    home = "/".join([str(place.offset), *folders[:_FOLDERS]]) if place.offset or folders else ""
    return _Member(place.offset + start, entry.compress_size, home)


def _tensors(window: _Window, place: _Member) -> list[_Member]:
    """Return the header and the tensors of a safetensors file, or nothing where it is something else.

    https://huggingface.co/docs/safetensors: the header's length in 8 bytes, the header, then the tensors.
    """
    length = int.from_bytes(window.read(_LENGTH_BYTES), "little")
    begin = _LENGTH_BYTES + length
    if not length or begin > min(place.size, MOST_HEADER_BYTES):
        return []
    try:
        entries = json.loads(window.read(length))
        ends = [int(entry["data_offsets"][1]) for name, entry in entries.items() if name != "__metadata__"]
    except (ValueError, RecursionError, AttributeError, IndexError, KeyError, TypeError):
        return []
    # Wherever they are, the parts are the whole: what a header says can cut badly, not wrongly.
    cuts = sorted({0, begin, place.size, *(begin + end for end in ends if 0 < end < place.size - begin)})
    return [_Member(place.offset + at, end - at, place.home) for at, end in pairwise(cuts)]


def _runs(members: list[_Member], size: int) -> Iterator[tuple[int, _Member]]:
    """Yield every byte of the file once: members by their stream, and what is between them."""
    at = 0
    for member in [*members, _Member(size, 0)]:
        gap = _Member(at, member.offset - at)
        if gap.size:
            yield (FRAME if gap.size < MOST_GAP_BYTES else LARGE), gap
        if member.size:
            yield _stream(member), member
        at = member.offset + member.size


def _stream(member: _Member) -> int:
    """Return where a member lies: small files of the archive itself change a little in every version.

    They are the manifest and the golden requests. In the recipe, the next version's tells what differs.
    """
    if member.size >= SMALL_BYTES:
        return LARGE
    told = member.size <= TOLD_BYTES or (not member.home and member.size < ALONE_BYTES)
    return FRAME if told else SMALL


def _parts(member: _Member) -> Iterator[Extent]:
    end = member.offset + member.size
    for offset in range(member.offset, end, PIECE_BYTES):
        yield Extent(offset, min(PIECE_BYTES, end - offset))


def _bundles(file: int, members: list[_Member]) -> Iterator[tuple[Extent, ...]]:
    """Yield small members that share a piece: neighbours in one folder, so that code takes no tensors along.

    The last of a folder share it with none: there PyTorch writes a network's head, of which each version
    has another.
    """
    for _, group in groupby(members, key=attrgetter("home")):
        folder = [Extent(member.offset, member.size) for member in group]
        yield from _shared(file, folder[:-_HEAD])
        yield from ((extent,) for extent in folder[-_HEAD:])


def _shared(file: int, extents: list[Extent]) -> Iterator[tuple[Extent, ...]]:
    bundle: list[Extent] = []
    for extent in extents:
        alone = extent.size >= ALONE_BYTES
        if bundle and alone:
            yield tuple(bundle)
            bundle = []
        bundle.append(extent)
        full = alone or sum(each.size for each in bundle) >= SMALL_BYTES
        if full or hashlib.sha256(os.pread(file, extent.size, extent.offset)).digest()[0] % _ONE_IN == 0:
            yield tuple(bundle)
            bundle = []
    if bundle:
        yield tuple(bundle)


class _Window(io.RawIOBase):
    """Part of a file as a file of its own; it is read by place, so that windows do not move each other."""

    def __init__(self, file: int, place: _Member) -> None:
        self._file, self._place, self._at = file, place, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._place.size}[whence]
        if base + offset < 0:
            raise ValueError(f"{offset} is before the beginning")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        left = max(self._place.size - self._at, 0)
        data = os.pread(self._file, min(len(buffer), left), self._place.offset + self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
