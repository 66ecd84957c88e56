"""What no client can beat on this machine: pieces over bare sockets, with and without their SHA-256.

The client and the sink share the cores, so where there are few of them, hashing and copying is all there is
time for. Nothing here signs, retries, or reads an answer beyond its first bytes.
"""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from artifacts.recipe import PIECE_BYTES
from provisioning.aws.blocks import BLOCK_BYTES
from provisioning.transfers import CONNECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def send(path: Path, endpoint: str, *, hashed: bool) -> None:
    """Send a file in pieces, by blocks: hashed, then read again and sent; or the same memory all the time."""
    parts = urlsplit(endpoint)
    own = threading.local()
    with path.open("rb") as stream:
        file, size = stream.fileno(), path.stat().st_size

        def blocks(offset: int, count: int) -> Iterator[memoryview]:
            for at in range(0, count, BLOCK_BYTES):
                block = memoryview(own.buffer)[: min(BLOCK_BYTES, count - at)]
                if hashed:
                    os.preadv(file, [block], offset + at)
                yield block

        def one(offset: int) -> None:
            if not hasattr(own, "connection"):
                own.connection = socket.create_connection((parts.hostname, parts.port))
                own.buffer = bytearray(BLOCK_BYTES)
            count = min(PIECE_BYTES, size - offset)
            digest = hashlib.sha256()
            for block in blocks(offset, count if hashed else 0):
                digest.update(block)
            head = f"PUT /b/{digest.hexdigest()} HTTP/1.1\r\ncontent-length: {count}\r\n\r\n"
            own.connection.sendall(head.encode())
            for block in blocks(offset, count):
                own.connection.sendall(block)
            own.connection.recv(4096)

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(one, range(0, size, PIECE_BYTES)))
