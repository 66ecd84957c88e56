"""How fast the load generator itself is: the same load against a server that only echoes.

The echo runs in threads of the generator's own process, so it shares its interpreter lock: the figure is
a lower bound of what the generator can do against a server elsewhere.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"
REQUIRED_HEADROOM = 3.0  # the generator should be this much faster than what it measures


@contextlib.contextmanager
def echo_server() -> Iterator[str]:
    """Answer every POST on a free loopback port with 200 while the block runs; yields the URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=_accept, args=(listener,), daemon=True)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
            accepting.join()


def _accept(listener: socket.socket) -> None:
    conversations: list[threading.Thread] = []
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            conversation = threading.Thread(target=_converse, args=(client,), daemon=True)
            conversation.start()
            conversations.append(conversation)
    for conversation in conversations:
        conversation.join(timeout=1)


def _converse(client: socket.socket) -> None:
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with client, client.makefile("rb") as stream, contextlib.suppress(OSError):
        while (length := _body_length(stream)) is not None:
            stream.read(length)
            client.sendall(ANSWER)


def _body_length(stream: BufferedReader) -> int | None:
    """Read one request's head and return its Content-Length, or None when the client has gone."""
    length = None
    while line := stream.readline().strip():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return length
