"""The compiler's end of a line to whoever started it, and can reach a shared cache.

One JSON object a line. {"get": KEY} asks for an entry to be put into the local directory and is answered
{"found": true} or {"found": false}; {"kept": KEY} tells of an entry that was written there and has no answer.
The compiler needs no credentials and no AWS library for it; a line that is cut is an entry that is absent.
"""

from __future__ import annotations

import json
import os
import socket


class Line:
    """A `Beyond` behind a connected socket."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)  # not for what the user's model starts
        self._socket = socket.socket(fileno=descriptor)
        self._answers = self._socket.makefile("rb")

    def close(self) -> None:
        """Hang up."""
        self._answers.close()
        self._socket.close()

    def fetch(self, key: str) -> bool:
        """Ask for an entry and wait for the answer."""
        try:
            self._tell({"get": key})
            answer = json.loads(self._answers.readline() or b"{}")
        except (OSError, ValueError):
            return False
        return isinstance(answer, dict) and answer.get("found") is True

    def kept(self, key: str) -> None:
        """Tell of an entry."""
        try:
            self._tell({"kept": key})
        except OSError:
            return  # nobody listens any more

    def _tell(self, message: dict[str, str]) -> None:
        self._socket.sendall(json.dumps(message).encode("ascii") + b"\n")
