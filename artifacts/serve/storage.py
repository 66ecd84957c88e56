"""The deployment's bucket, seen from a host: through the `aws` command that every image carries."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artifacts.errors import DiskFull, ServeFailed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_CHUNK = 1 << 20
_NO_ROOM = os.strerror(errno.ENOSPC)
_TOO_LARGE = os.strerror(errno.EFBIG)
_BLOCK = 512  # what POSIX counts `ulimit -f` in
_LEAST_LIMIT = 1 << 20  # the client's own small files are under the limit too
# The kernel stops a client that writes more, whatever the bucket says of an object's size.
_LIMITED = 'ulimit -f "$0" && exec "$@"'


@dataclass(frozen=True, slots=True)
class Storage:
    """One bucket."""

    bucket: str

    def fetch(self, key: str, path: Path, most: int | None = None) -> None:
        """Download an object to a path, or its first `most` bytes; the caller checks its digest."""
        part = [] if most is None else ["--range", f"bytes=0-{most - 1}"]
        self._run("get-object", "--bucket", self.bucket, "--key", key, *part, str(path))

    def put(self, key: str, body: bytes) -> None:
        """Upload an object."""
        with tempfile.NamedTemporaryFile(prefix="amazonei-put-") as stream:
            stream.write(body)
            stream.flush()
            self.put_file(key, stream.name)

    def put_file(self, key: str, path: Path | str) -> None:
        """Upload a file, of at most 5 GB."""
        self._run("put-object", "--bucket", self.bucket, "--key", key, "--body", str(path))

    def fetch_all(self, prefix: str, names: Iterable[str], directory: Path, most: int) -> None:
        """Download objects below a prefix into a directory, several at once, in one process.

        One that is not there is left out; the caller checks what it got. None of them is written beyond
        `most` bytes (or a mebibyte, where that is more): raises ServeFailed for one that is larger.
        """
        wanted = [word for name in sorted(names) for word in ("--include", name)]
        place = [f"s3://{self.bucket}/{prefix}", str(directory)]
        options = ["--recursive", "--only-show-errors", "--exclude", "*", *wanted]
        self._aws("s3", "cp", *place, *options, most=most)

    def fetch_verified(self, key: str, path: Path, digest: str, most: int | None = None) -> None:
        """Download an object whose SHA-256 is known; raises ServeFailed when it has another.

        Of an object with more than `most` bytes, one byte more comes, and none of it stays.
        """
        self.fetch(key, path, None if most is None else most + 1)
        if most is not None and path.stat().st_size > most:
            path.unlink()
            raise ServeFailed(f"{key} is larger than {most} bytes.", "Ship the artifact again.")
        got = _sha256(path)
        if got != digest:
            path.unlink()
            raise ServeFailed(
                f"{key} has SHA-256 {got[:12]}…, not {digest[:12]}….", "Ship the artifact again."
            )

    def _run(self, operation: str, *arguments: str) -> None:
        self._aws("s3api", operation, *arguments)

    def _aws(self, service: str, operation: str, *arguments: str, most: int | None = None) -> None:
        client = shutil.which("aws")
        if client is None:
            raise ServeFailed("This host has no `aws` command.", "Use an image that carries it.")
        command = [client, service, operation, *arguments]
        if most is not None:
            blocks = -(-max(most, _LEAST_LIMIT) // _BLOCK)
            command = ["/bin/sh", "-c", _LIMITED, str(blocks), *command]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            if _NO_ROOM in done.stderr:
                raise DiskFull(reason)
            if _TOO_LARGE in done.stderr or done.returncode == -signal.SIGXFSZ:
                raise ServeFailed(
                    f"An object in the bucket is larger than the {most} bytes that were asked for.",
                    "Ship it again with --resend, which sends every piece anew.",
                )
            raise ServeFailed(
                f"aws {service} {operation} failed: {reason}", "Look at the host's role and endpoint."
            )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
