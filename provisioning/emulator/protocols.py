"""How an error is written in each of AWS's wire protocols."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Mapping


class Protocol(StrEnum):
    """The wire protocols that clients of the emulator speak."""

    JSON = "json"
    EC2 = "ec2"
    QUERY = "query"
    REST_XML = "rest-xml"


def protocol_of(environ: Mapping[str, object], service: str) -> Protocol:
    """Return the protocol of a WSGI request signed for the service."""
    content_type = str(environ.get("CONTENT_TYPE", ""))
    if "HTTP_X_AMZ_TARGET" in environ or "json" in content_type:
        return Protocol.JSON
    if service == "ec2":
        return Protocol.EC2
    if content_type.startswith("application/x-www-form-urlencoded"):
        return Protocol.QUERY
    return Protocol.REST_XML


def error_document(protocol: Protocol, code: str, message: str) -> tuple[str, str]:
    """Return the content type and the body of an error."""
    if protocol is Protocol.JSON:
        return "application/x-amz-json-1.1", json.dumps({"__type": code, "message": message})
    error = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    match protocol:
        case Protocol.EC2:
            return "text/xml", f"<Response><Errors>{error}</Errors><RequestID>0</RequestID></Response>"
        case Protocol.QUERY:
            return "text/xml", f"<ErrorResponse>{error}<RequestId>0</RequestId></ErrorResponse>"
        case Protocol.REST_XML:
            return "application/xml", error
