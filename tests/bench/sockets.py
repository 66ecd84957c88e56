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
from provisioning.uploading import CONNECTIONS

if TYPE_CHECKING:
    from pathlib import Path


def send(path: Path, endpoint: str, *, hashed: bool) -> None:
    """Send a file in pieces: each read and hashed before it is sent, or the same memory again and again."""
    parts = urlsplit(endpoint)
    own = threading.local()
    with path.open("rb") as stream:
        file, size = stream.fileno(), path.stat().st_size

        def one(offset: int) -> None:
            if not hasattr(own, "connection"):
                own.connection = socket.create_connection((parts.hostname, parts.port))
                own.buffer = bytearray(PIECE_BYTES)
            piece = memoryview(own.buffer)[: min(PIECE_BYTES, size - offset)]
            digest = "unknown"
            if hashed:
                os.preadv(file, [piece], offset)
                digest = hashlib.sha256(piece).hexdigest()
            head = f"PUT /b/{digest} HTTP/1.1\r\ncontent-length: {len(piece)}\r\n\r\n"
            own.connection.sendall(head.encode())
            own.connection.sendall(piece)
            own.connection.recv(4096)

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(one, range(0, size, PIECE_BYTES)))
