"""The gate in front of the emulator: who may talk to it.

Hosts execute real shell, so anything that can reach the port could run commands as this user: a web
page through the browser, or another user of the machine. Only requests that carry the access key made at
start pass, and only when they name this machine, which also defeats DNS rebinding.
"""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from provisioning.emulator.protocols import Protocol, error_document, protocol_of
from provisioning.emulator.service import HEALTH_PATH

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1"})
_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256\s+(?:.*,\s*)?Credential=([^/,\s]+)/[^/]*/[^/]*/([^/]*)/|AWS ([^:\s]+):"
)
_TOKEN_MESSAGE = "The security token included in the request is invalid."  # noqa: S105
# What AWS calls an unknown access key differs by protocol.
_REFUSALS = {
    Protocol.JSON: "UnrecognizedClientException",
    Protocol.EC2: "AuthFailure",
    Protocol.QUERY: "InvalidClientTokenId",
    Protocol.REST_XML: "InvalidAccessKeyId",
}


class AccessGate:
    """A WSGI application that lets requests with the emulator's access key through to another."""

    def __init__(self, application: WSGIApplication, access_key: str) -> None:
        self._application = application
        self._access_key = access_key.encode()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer the health question, refuse, or pass the request on."""
        if _host(environ) not in _LOCAL_NAMES:
            return _answer(start_response, "403 Forbidden", "text/plain", "Not a name of this machine.\n")
        if environ["PATH_INFO"] == HEALTH_PATH:
            return _answer(start_response, "200 OK", "text/plain", "ok\n")
        key, service = credential_of(environ)
        if hmac.compare_digest(key.encode(), self._access_key):
            return self._application(environ, start_response)
        return _answer(start_response, "403 Forbidden", *_refusal(environ, service))


def credential_of(environ: WSGIEnvironment) -> tuple[str, str]:
    """Return the request's access key and the service it is signed for, "" where it names none."""
    match = _SIGNED.match(str(environ.get("HTTP_AUTHORIZATION", "")))
    if match:
        return match[1] or match[3], match[2] or ""
    query = parse_qs(str(environ.get("QUERY_STRING", "")))
    signed_url = query.get("X-Amz-Credential") or query.get("AWSAccessKeyId") or [""]
    return signed_url[0].partition("/")[0], ""


def _host(environ: WSGIEnvironment) -> str:
    return str(environ.get("HTTP_HOST", "")).partition(":")[0].lower()


def _refusal(environ: WSGIEnvironment, service: str) -> tuple[str, str]:
    """Return content type and body of AWS's answer to an unknown access key."""
    protocol = protocol_of(environ, service)
    return error_document(protocol, _REFUSALS[protocol], _TOKEN_MESSAGE)


def _answer(start_response: StartResponse, status: str, content_type: str, text: str) -> Iterable[bytes]:
    body = text.encode()
    start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(body)))])
    return [body]
