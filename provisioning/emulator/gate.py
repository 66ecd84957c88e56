"""The gate in front of the emulator: who may talk to it.

Hosts execute real shell, so anything that can reach the port could run commands as this user: a web
page through the browser, or another user of the machine. Only requests that carry the access key made at
start pass, and only when they name this machine, which also defeats DNS rebinding.
"""

from __future__ import annotations

import hmac
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from provisioning.emulator.service import HEALTH_PATH

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1"})
_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256\s+(?:.*,\s*)?Credential=([^/,\s]+)/[^/]*/[^/]*/([^/]*)/|AWS ([^:\s]+):"
)
_TOKEN_MESSAGE = "The security token included in the request is invalid."  # noqa: S105


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
        key, service = _credential(environ)
        if hmac.compare_digest(key.encode(), self._access_key):
            return self._application(environ, start_response)
        return _answer(start_response, "403 Forbidden", *_refusal(environ, service))


def _host(environ: WSGIEnvironment) -> str:
    return str(environ.get("HTTP_HOST", "")).partition(":")[0].lower()


def _credential(environ: WSGIEnvironment) -> tuple[str, str]:
    """Return the request's access key and the service it is signed for, "" where it names none."""
    match = _SIGNED.match(str(environ.get("HTTP_AUTHORIZATION", "")))
    if match:
        return match[1] or match[3], match[2] or ""
    query = parse_qs(str(environ.get("QUERY_STRING", "")))
    signed_url = query.get("X-Amz-Credential") or query.get("AWSAccessKeyId") or [""]
    return signed_url[0].partition("/")[0], ""


def _refusal(environ: dict[str, Any], service: str) -> tuple[str, str]:
    """Return content type and body of AWS's answer to an unknown access key, by protocol."""
    content_type = str(environ.get("CONTENT_TYPE", ""))
    if "HTTP_X_AMZ_TARGET" in environ or "json" in content_type:
        document = {"__type": "UnrecognizedClientException", "message": _TOKEN_MESSAGE}
        return "application/x-amz-json-1.1", json.dumps(document)
    if service == "ec2":
        error = f"<Error><Code>AuthFailure</Code><Message>{_TOKEN_MESSAGE}</Message></Error>"
        return "text/xml", f"<Response><Errors>{error}</Errors><RequestID>gate</RequestID></Response>"
    if content_type.startswith("application/x-www-form-urlencoded"):
        error = f"<Error><Code>InvalidClientTokenId</Code><Message>{_TOKEN_MESSAGE}</Message></Error>"
        return "text/xml", f"<ErrorResponse>{error}<RequestId>gate</RequestId></ErrorResponse>"
    message = "The AWS Access Key Id you provided does not exist in our records."
    return "application/xml", f"<Error><Code>InvalidAccessKeyId</Code><Message>{message}</Message></Error>"


def _answer(start_response: StartResponse, status: str, content_type: str, text: str) -> Iterable[bytes]:
    body = text.encode()
    start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(body)))])
    return [body]
