"""Ask a served model from Python, on its host or from anywhere that reaches it; needs no torch.

    client = ModelClient.on_host()                    # follows every switch to a new version
    client = ModelClient.at("http://10.0.3.7:8080")   # a forwarded port, or a host in the same network
    client = ModelClient.at("https://models.example.org")   # a load balancer, whose certificate is checked
    outputs = client.predict({"x": numpy.ones((1, 4), numpy.float32)})

A prediction changes nothing, so one that never got an answer is repeated on a new connection: after a lost
connection, when a load balancer has lost its host (502), and when the server has too much to do (429, 503).
One that timed out is not: it may still be computed, and asking again would double the load.
"""

from __future__ import annotations

import http.client
import io
import json
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import safetensors
import safetensors.numpy

from artifacts.errors import BadRequest, ServeFailed
from artifacts.serve.client import JSON_TYPE, SAFETENSORS_TYPE
from artifacts.serve.current import require_current
from artifacts.serve.routes import REQUEST_TIMEOUT_MS, ROUTE
from artifacts.serve.settings import DEFAULT_HOME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Arrays = Mapping[str, np.ndarray[Any, Any]]

NPY_TYPE = "application/x-npy"
DEFAULT_TIMEOUT_S = REQUEST_TIMEOUT_MS / 1000 + 5  # the server's own answer to a slow request comes first
_FIRST_PAUSE_S = 0.05
_AGAIN = frozenset({429, 502, 503})
_SLOW = 408
_PORTS = {"http": 80, "https": 443}


class Unavailable(ServeFailed):
    """The server cannot be reached, has too much to do, or failed; `status` is its HTTP status, if any."""

    code = "unavailable"

    def __init__(self, message: str, hint: str = "", status: int | None = None) -> None:
        super().__init__(message, hint)
        self.status = status


class TimedOut(Unavailable):
    """There was no answer within the time-out; the model may still be computing it."""

    code = "timed-out"


@dataclass(slots=True)
class ModelClient:
    """One kept connection to a served model; each thread needs a client of its own.

    `locate` returns host and port and is asked before every request; `timeout_s` holds for a request with its
    repetitions, in seconds.
    """

    locate: Callable[[], tuple[str, int]]
    timeout_s: float = DEFAULT_TIMEOUT_S
    trust: ssl.SSLContext | None = None  # with which a server has to prove who it is; None: plain HTTP
    _connection: http.client.HTTPConnection | None = field(default=None, repr=False)
    _place: tuple[str, int] | None = field(default=None, repr=False)

    @classmethod
    def at(
        cls, url: str, timeout_s: float = DEFAULT_TIMEOUT_S, trust: ssl.SSLContext | None = None
    ) -> ModelClient:
        """Return a client of the server at `http://host:port` or `https://host`; BadRequest for another URL.

        With https its certificate is checked, by default against what this machine trusts.
        """
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname or parts.path not in ("", "/", ROUTE):
            raise BadRequest(f"{url!r} is not the address of a server.", "It is like http://10.0.3.7:8080")
        place = (parts.hostname, parts.port or _PORTS[parts.scheme])
        if parts.scheme == "https":
            return cls(lambda: place, timeout_s, trust or ssl.create_default_context())
        return cls(lambda: place, timeout_s)

    @classmethod
    def on_host(cls, home: str | Path = DEFAULT_HOME, timeout_s: float = DEFAULT_TIMEOUT_S) -> ModelClient:
        """Return a client of what this host serves, by its `current.json`; each request reads it anew."""

        def locate() -> tuple[str, int]:
            current = require_current(Path(home))
            return current.address, current.port

        return cls(locate, timeout_s)

    def predict(self, inputs: Arrays) -> dict[str, np.ndarray[Any, Any]]:
        """Return the outputs by name; sent and answered as raw tensors.

        Raises BadRequest, which names what was expected, and Unavailable. bfloat16, which NumPy does not
        have, goes with `predict_json`.
        """
        body = safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in inputs.items()})
        answer = self.send(body, SAFETENSORS_TYPE)
        try:
            return dict(safetensors.numpy.load(answer))
        except (safetensors.SafetensorError, KeyError) as error:
            raise Unavailable(f"The answer is not safetensors that NumPy has: {error}") from error

    def predict_array(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the output of a model with one input and one output; sent as npy."""
        stream = io.BytesIO()
        np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
        answer = io.BytesIO(self.send(stream.getvalue(), NPY_TYPE))
        try:
            return np.lib.format.read_array(answer, allow_pickle=False)
        except ValueError as error:
            raise Unavailable(f"The answer is not npy: {error}") from error

    def predict_json(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the outputs as nested lists by name; sent and answered as JSON."""
        answer = self.send(json.dumps({"inputs": dict(inputs)}).encode(), JSON_TYPE)
        try:
            outputs = json.loads(answer)["outputs"]
        except (ValueError, KeyError, TypeError) as error:
            raise Unavailable(f"The answer is not as expected: {answer[:80]!r}") from error
        return dict(outputs)

    def send(self, body: bytes, content_type: str) -> bytes:
        """Return the answer to a body; raises BadRequest, TimedOut and Unavailable."""
        deadline = time.monotonic() + self.timeout_s
        pause = _FIRST_PAUSE_S
        while True:
            try:
                return self._attempt(body, content_type, deadline)
            except TimedOut:
                raise
            except Unavailable as error:
                repeatable = error.status is None or error.status in _AGAIN
                if not repeatable or time.monotonic() + pause >= deadline:
                    raise
            time.sleep(pause)
            pause *= 2

    def close(self) -> None:
        """End the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> ModelClient:  # noqa: PYI034 - Self is Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _attempt(self, body: bytes, content_type: str, deadline: float) -> bytes:
        connection = self._connected(max(deadline - time.monotonic(), 0.001))
        try:
            connection.request("POST", ROUTE, body, {"Content-Type": content_type})
            response = connection.getresponse()
            answer = response.read()
        except TimeoutError as error:
            self.close()
            raise TimedOut(f"There was no answer within {self.timeout_s:g} s.") from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unavailable(f"The server does not answer: {str(error) or type(error).__name__}") from error
        if response.status == http.HTTPStatus.OK:
            return answer
        raise _problem(response.status, answer.decode("utf-8", "replace"))

    def _connected(self, timeout_s: float) -> http.client.HTTPConnection:
        """Return the kept connection, or a new one where the server has moved."""
        place = self.locate()
        if self._connection is None or place != self._place:
            self.close()
            self._connection, self._place = self._opened(place), place
        self._connection.timeout = timeout_s
        if self._connection.sock is not None:
            self._connection.sock.settimeout(timeout_s)
        return self._connection

    def _opened(self, place: tuple[str, int]) -> http.client.HTTPConnection:
        if self.trust is None:
            return http.client.HTTPConnection(*place)
        return http.client.HTTPSConnection(*place, context=self.trust)


def _problem(status: int, text: str) -> Exception:
    if status == _SLOW:
        return TimedOut(f"The server gave up on the request ({status}): {text}", status=status)
    if 400 <= status < 500 and status not in _AGAIN:
        return BadRequest(f"The server refused the request ({status}): {text}")
    return Unavailable(f"The server answered {status}: {text}", status=status)
