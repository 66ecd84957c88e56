"""Races of lanes in a bucket of the user's own, so that machines of one kind run each of them once.

An entry is PREFIX/KEY/entry.json, written last and only where there is none, and its files, each under its
own SHA-256: writers that meet cannot mix their files, and a reader sees an entry whole or not at all. What
arrives is verified as what lies in the local directory is. The cache is a convenience: whatever is wrong with
it is a warning, and where it cannot be reached it is left alone until the next command.
"""

from __future__ import annotations

import io
import json
import re
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from artifacts.compile.cache import CORRUPT, ENTRY, Store, listed, verified
from provisioning.errors import AccessDenied, AwsError, AwsUnreachable, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from provisioning.aws.s3 import S3

_KEY = re.compile("[0-9a-f]{64}")
_MAX_ENTRY_BYTES = 1 << 20
_MAX_LINE_BYTES = 1 << 10
# A race takes a minute or two, mostly: waiting longer for one would be no gain.
FETCH_S = 120.0
SEND_S = 300.0
NEEDS = "It needs s3:GetObject and s3:PutObject on the objects and s3:ListBucket on the bucket."


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A bucket, and what every key in it begins with."""

    bucket: str
    prefix: str = ""

    def __str__(self) -> str:
        """Return it as the AWS tools write it."""
        return f"s3://{self.bucket}/{self.prefix}"

    def of(self, key: str, name: str) -> str:
        """Return the object's key for one name of an entry."""
        return f"{self.prefix}{key}/{name}"


@dataclass(slots=True, kw_only=True)
class SharedCache:
    """Entries of the local directory in a bucket, for one compile after the other."""

    objects: S3
    place: Place
    store: Store
    monotonic: Callable[[], float] = time.monotonic
    _warnings: list[str] = field(default_factory=list)
    _off: bool = False
    _replace: set[str] = field(default_factory=set)  # entries that are there and of no use

    def fetch(self, key: str) -> bool:
        """Put an entry into the local directory, verified; return whether it is there now."""
        if self._off:
            return False
        until = self.monotonic() + FETCH_S
        try:
            return self._fetch(key, until)
        except AwsError as error:
            self._give_up(error)
        except CORRUPT as error:
            self._replace.add(key)
            self._warn(f"{self.place.of(key, ENTRY)} is corrupt ({error!r}) and was not used.")
        return False

    def _fetch(self, key: str, until: float) -> bool:
        sealed = io.BytesIO()
        try:
            self._read(self.place.of(key, ENTRY), sealed, until, _MAX_ENTRY_BYTES)
        except NotFound as error:
            if error.aws_code == "NoSuchBucket":
                raise
            return False
        files = listed(sealed.getvalue(), key)
        with self.store.arriving(key) as scratch:
            (scratch / ENTRY).write_bytes(sealed.getvalue())
            for name, sha256 in files.items():
                with (scratch / name).open("wb") as stream:
                    self._read_named(self.place.of(key, sha256), stream, until)
            verified(scratch, key)
        return True

    def _read_named(self, name: str, stream: IO[bytes], until: float) -> None:
        try:
            self._read(name, stream, until)
        except NotFound as error:
            raise ValueError(f"{name} is not there") from error

    def _read(self, name: str, stream: IO[bytes], until: float, limit: int | None = None) -> None:
        for piece in self.objects.pieces(self.place.bucket, name):
            stream.write(piece)
            self._hurry(until)
            if limit is not None and stream.tell() > limit:
                raise ValueError(f"{name} is longer than {limit} bytes")

    def _hurry(self, until: float) -> None:
        if self.monotonic() > until:
            raise AwsUnreachable(f"{self.place} takes too long.")

    def publish(self, key: str, say: Callable[[str], None]) -> None:
        """Send an entry of the local directory, unless another machine has sent it first."""
        if self._off:
            return
        try:
            self._publish(key, say)
        except AwsError as error:
            self._give_up(error)
        except CORRUPT as error:  # of the local directory, which another process may have mended meanwhile
            self._warn(f"An entry was not sent to {self.place}: {error!r}.")

    def _publish(self, key: str, say: Callable[[str], None]) -> None:
        bucket, entry = self.place.bucket, self.place.of(key, ENTRY)
        if key not in self._replace and self.objects.head_object(bucket, entry) is not None:
            return
        here = self.store.place(key)
        sealed = (here / ENTRY).read_bytes()
        files = verified(here, key).files
        size = sum(path.stat().st_size for path in files.values())
        say(f"sending the race to {self.place} ({size / 1e6:.1f} MB) …")
        until = self.monotonic() + SEND_S
        for name, sha256 in listed(sealed, key).items():
            target = self.place.of(key, sha256)
            self.objects.upload_file(files[name], bucket, target, on_bytes=lambda _: self._hurry(until))
        if key in self._replace:
            self.objects.put_object(bucket, entry, sealed)
        else:
            self.objects.put_object_if_absent(bucket, entry, sealed)

    def take_warnings(self) -> tuple[str, ...]:
        """Return what went wrong since the last time this was asked."""
        taken = tuple(self._warnings)
        self._warnings.clear()
        return taken

    def _give_up(self, error: AwsError) -> None:
        if self._off:
            return  # two compiles at once: told already
        self._off = True
        remedy = f" {NEEDS}" if isinstance(error, AccessDenied) else ""
        self._warn(f"The shared cache {self.place} was left alone. {error.message}{remedy}")

    def _warn(self, text: str) -> None:
        self._warnings.append(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attendance:
    """What a process inherits to ask through, and the keys of what it kept."""

    descriptors: tuple[int, ...] = ()
    kept: list[str] = field(default_factory=list)


@contextmanager
def attended(shared: SharedCache | None) -> Iterator[Attendance]:
    """Answer a compiler's process about the shared cache while the block runs; without one, no line.

    What it kept is noted and not sent: while lanes are timed, sending would disturb them.
    """
    if shared is None:
        yield Attendance()
        return
    ours, theirs = socket.socketpair()
    attendance = Attendance(descriptors=(theirs.fileno(),))
    thread = threading.Thread(target=_attend, args=(ours, shared, attendance.kept), daemon=True)
    thread.start()
    try:
        yield attendance
    finally:
        theirs.close()
        # What was said is still read; then it is the end, although a process that outlived the compiler,
        # which is the user's model's business, may hold the other side.
        with suppress(OSError):
            ours.shutdown(socket.SHUT_RD)
    thread.join()


def _attend(ours: socket.socket, shared: SharedCache, kept: list[str]) -> None:
    """Answer until the other side ends, or says what cannot be understood."""
    with ours, ours.makefile("rb") as lines, suppress(OSError, ValueError, KeyError):
        while line := lines.readline(_MAX_LINE_BYTES):
            message = json.loads(line)
            if "kept" in message:
                kept.append(_key(message["kept"]))
            else:
                answer = {"found": shared.fetch(_key(message["get"]))}
                ours.sendall(json.dumps(answer).encode("ascii") + b"\n")


def _key(value: object) -> str:
    """Return the key, which becomes a part of paths, or raise `ValueError`."""
    if not (isinstance(value, str) and _KEY.fullmatch(value)):
        raise ValueError(value)
    return value
