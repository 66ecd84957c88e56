"""An S3 that reads what it is sent and forgets it: as fast as the loopback, in a process of its own."""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import re
import socket
import threading
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from types import TracebackType
    from typing import Self

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CONTINUE = re.compile(rb"\r\nexpect: *100-continue", re.IGNORECASE)
_BUFFER = 1 << 20
_NOTHING = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
_BEGUN = (
    b"<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><UploadId>u</UploadId>"
    b"</InitiateMultipartUploadResult>"
)
_DONE = (
    b"<CompleteMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><ETag>&quot;e&quot;</ETag>"
    b"</CompleteMultipartUploadResult>"
)


class Sink:
    """The process, and where it listens."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=serve, args=(theirs,), daemon=True)
        self._process.start()
        self.endpoint = f"http://127.0.0.1:{ours.recv()}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.join()


def serve(announce: Connection) -> None:
    """Listen, say where, and answer each connection in a thread."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        announce.send(server.getsockname()[1])
        while True:
            connection, _ = server.accept()
            threading.Thread(target=converse, args=(connection,), daemon=True).start()


def converse(connection: socket.socket) -> None:
    """Answer requests until the client goes."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = memoryview(bytearray(_BUFFER))
    left = b""
    with connection, contextlib.suppress(ConnectionError):
        while (request := _head(connection, left)) is not None:
            head, body = request
            if _CONTINUE.search(head):
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            length = _LENGTH.search(head)
            expected = int(length[1]) if length else 0
            missing, left = expected - len(body), body[expected:]
            while missing > 0:
                got = connection.recv_into(buffer, min(missing, _BUFFER))
                if not got:
                    return
                missing -= got
            connection.sendall(_answer(head))


def _head(connection: socket.socket, data: bytes) -> tuple[bytes, bytes] | None:
    """Return a request's head and what of the body came with it; None when the client is gone."""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    if b"transfer-encoding" in head.lower():
        raise NotImplementedError("a body without a length")
    return head + b"\r\n", body


def _answer(head: bytes) -> bytes:
    verb, target, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
    query = parse_qs(urlsplit(target).query, keep_blank_values=True)
    if verb == "HEAD":
        return b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
    body = b""
    if verb == "GET":
        body = _NOTHING
    elif verb == "POST":
        body = _BEGUN if "uploads" in query else _DONE
    tag = hashlib.md5(target.encode(), usedforsecurity=False).hexdigest().encode("ascii")
    return b'HTTP/1.1 200 OK\r\netag: "%s"\r\ncontent-length: %d\r\n\r\n%s' % (tag, len(body), body)
