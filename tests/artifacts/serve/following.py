"""An open-loop client of a host: it follows `current.json`, as clients on the host are told to."""

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
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Follower:
    """Sends at a constant rate, whatever the answers take; keeps what went wrong."""

    home: Path
    body: bytes
    rate: float = 100.0
    answers: dict[bytes, int] = field(default_factory=dict)  # by body: how often
    failures: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def answered(self) -> int:
        return sum(self.answers.values())

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Send while the block runs; every request has been answered or has failed at its end."""
        stop = threading.Event()
        with ThreadPoolExecutor(16) as pool:
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
            pool.submit(self._ask)
            due += 1 / self.rate

    def _ask(self) -> None:
        try:
            current = json.loads((self.home / "current.json").read_bytes())
            status, answer = self._post(current["address"], current["port"])
            problem = "" if status == 200 else f"{status}: {answer!r}"
        except (OSError, http.client.HTTPException, ValueError) as error:
            problem, answer = repr(error), b""
        with self._lock:
            if problem:
                self.failures.append(problem)
            else:
                self.answers[answer] = self.answers.get(answer, 0) + 1

    def _post(self, address: str, port: int) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(address, port, timeout=30)
        with closing(connection):
            connection.request("POST", "/inference", self.body)
            response = connection.getresponse()
            return response.status, response.read()
