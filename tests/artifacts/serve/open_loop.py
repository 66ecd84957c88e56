"""Open-loop load on what is served: requests leave at a constant rate, whatever the answers take."""

from __future__ import annotations

import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

AT_ONCE = 16  # requests that may be under way


@dataclass
class OpenLoop:
    """Sends at a constant rate; keeps the answers in the order they came, and what went wrong."""

    ask: Callable[[], tuple[int, bytes]]  # one request, from any thread: its answer's status and body
    rate: float = 100.0
    answers: list[bytes] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Send while the block runs; every request has been answered or has failed at its end."""
        stop = threading.Event()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            sender = threading.Thread(target=self._send_until, args=(stop, pool))
            sender.start()
            try:
                yield
            finally:
                stop.set()
                sender.join()

    def _send_until(self, stop: threading.Event, pool: ThreadPoolExecutor) -> None:
        due = time.monotonic()
        while not stop.wait(max(0.0, due - time.monotonic())):
            pool.submit(self._send)
            due += 1 / self.rate

    def _send(self) -> None:
        try:
            status, answer = self.ask()
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.failures.append(repr(error))
            return
        if status == 200:
            self.answers.append(answer)
        else:
            self.failures.append(f"{status}: {answer!r}")


def following(home: Path, body: bytes) -> Callable[[], tuple[int, bytes]]:
    """Ask a host, looking into its `current.json` each time, as clients on the host are told to."""

    def ask() -> tuple[int, bytes]:
        current = json.loads((home / "current.json").read_bytes())
        connection = http.client.HTTPConnection(current["address"], current["port"], timeout=30)
        with closing(connection):
            return post(connection, body)

    return ask


@dataclass
class KeptConnections:
    """Ask over connections that are kept, one of each thread that sends; another one after an error."""

    connect: Callable[[], http.client.HTTPConnection]
    body: bytes
    _of_thread: threading.local = field(default_factory=threading.local)
    _all: list[http.client.HTTPConnection] = field(default_factory=list)

    def __call__(self) -> tuple[int, bytes]:
        if not hasattr(self._of_thread, "connection"):
            self._of_thread.connection = self.connect()
            self._all.append(self._of_thread.connection)
        connection: http.client.HTTPConnection = self._of_thread.connection
        try:
            return post(connection, self.body)
        except (OSError, http.client.HTTPException):
            connection.close()
            raise

    def close(self) -> None:
        for connection in self._all:
            connection.close()


def post(connection: http.client.HTTPConnection, body: bytes) -> tuple[int, bytes]:
    connection.request("POST", "/inference", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, response.read()
