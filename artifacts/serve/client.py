"""Requests to a server on the loopback interface."""

from __future__ import annotations

import http.client
from dataclasses import dataclass

from artifacts.errors import BadRequest, ServeFailed
from artifacts.serve.routes import ROUTE

JSON_TYPE = "application/json"
SAFETENSORS_TYPE = "application/vnd.safetensors"
_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Client:
    """One server by address and port."""

    address: str
    port: int

    @property
    def url(self) -> str:
        """Return the inference URL."""
        return f"http://{self.address}:{self.port}{ROUTE}"

    def healthy(self) -> bool:
        """Whether the server answers; mosec opens its port once a worker is ready."""
        try:
            status, _ = self._exchange("GET", "/", b"", "", timeout=2.0)
        except (OSError, http.client.HTTPException):
            return False
        return status == 200

    def metrics(self) -> str:
        """Return the server's metrics in Prometheus' text form; raises ServeFailed."""
        try:
            status, text = self._exchange("GET", "/metrics", b"", "", timeout=2.0)
        except (OSError, http.client.HTTPException) as error:
            raise ServeFailed(f"The server does not answer: {error}", "Look at `amazonei status`.") from error
        if status != 200:
            raise ServeFailed(f"The server answered {status} for its metrics.")
        return text.decode("utf-8", "replace")

    def infer(self, body: bytes, content_type: str) -> bytes:
        """Return the answer; raises BadRequest for a 4xx and ServeFailed otherwise."""
        try:
            status, answer = self._exchange("POST", ROUTE, body, content_type, timeout=_TIMEOUT_S)
        except (OSError, http.client.HTTPException) as error:
            raise ServeFailed(f"The server does not answer: {error}", "Look at `amazonei status`.") from error
        if status == 200:
            return answer
        text = answer.decode("utf-8", "replace")
        if 400 <= status < 500 and status != 429:
            raise BadRequest(f"The server refused the request ({status}): {text}")
        raise ServeFailed(f"The server answered {status}: {text}", "`amazonei logs` shows its log.")

    def _exchange(
        self, verb: str, path: str, body: bytes, content_type: str, *, timeout: float
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.address, self.port, timeout=timeout)
        try:
            connection.request(verb, path, body or None, {"Content-Type": content_type} if body else {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()
