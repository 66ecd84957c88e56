"""A persistent HTTP connection to the served model."""

from __future__ import annotations

from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from urllib.parse import SplitResult, urlsplit

from artifacts.errors import BadRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where to send requests, and how."""

    url: str
    content_type: str
    timeout_s: float
    parts: SplitResult = field(init=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme != "http" or not parts.hostname:
            raise BadRequest(f"{self.url!r} is not an http:// URL.", "Pass the served model's address.")
        object.__setattr__(self, "parts", parts)

    def connect(self) -> HttpConnection:
        """Return a connection that opens with its first request."""
        return HttpConnection(self)


class HttpConnection:
    """A connection that reopens itself after a failure; a failed request is counted, never repeated."""

    def __init__(self, endpoint: Endpoint) -> None:
        parts = endpoint.parts
        self._http = HTTPConnection(parts.hostname or "", parts.port, timeout=endpoint.timeout_s)
        self._path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        self._headers = {"Content-Type": endpoint.content_type}

    def post(self, payload: bytes) -> bool:
        """Return whether the server answered 200 within the time-out."""
        try:
            self._http.request("POST", self._path, body=payload, headers=self._headers)
            response = self._http.getresponse()
            response.read()
        except (OSError, HTTPException):
            self._http.close()
            return False
        return response.status == 200

    def close(self) -> None:
        """End the connection."""
        self._http.close()
