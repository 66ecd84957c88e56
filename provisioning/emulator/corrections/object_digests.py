"""Corrections of S3 uploads and bucket deletion: a wrong digest stores nothing."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING, Any

from moto.s3.exceptions import S3ClientError

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.wrapping import Function, wrap

if TYPE_CHECKING:
    from collections.abc import Callable

    from moto.s3.responses import S3Response

_PUT = Anchor("moto.s3.responses:S3Response.put_object", "598b1d581502e158")
_PART = Anchor("moto.s3.responses:S3Response.upload_part", "8f1d80828cd35726")
# CRC32C and CRC64NVME need a library that the emulator does without; moto keeps what the client says.
_CHECKSUMS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "x-amz-checksum-sha256": ("SHA256", lambda body: hashlib.sha256(body).digest()),
    "x-amz-checksum-sha1": ("SHA1", lambda body: hashlib.sha1(body, usedforsecurity=False).digest()),
    "x-amz-checksum-crc32": ("CRC32", lambda body: binascii.crc32(body).to_bytes(4, "big")),
}


def _checked(original: Function) -> Function:
    def upload(self: S3Response, *arguments: Any, **options: Any) -> Any:
        body = self.body or b""
        _check_md5(self.headers.get("Content-MD5"), body if isinstance(body, bytes) else body.encode())
        for header, (name, digest) in _CHECKSUMS.items():
            given = self.headers.get(header) or _trailing(self, header)
            if given is not None:
                _check(name, given, digest(body if isinstance(body, bytes) else body.encode()))
        return original(self, *arguments, **options)

    return upload


def _trailing(response: S3Response, header: str) -> str | None:
    """Return a checksum sent after the body, as clients do that stream it."""
    if header not in (response.headers.get("x-amz-trailer") or ""):
        return None
    tail = response.raw_body[-200:] if isinstance(response.raw_body, bytes) else b""
    _, found, value = tail.rpartition(f"{header}:".encode())
    return value.strip().split(b"\r\n")[0].decode() if found else None


def _check_md5(given: str | None, body: bytes) -> None:
    if given is None:
        return
    try:
        wanted = base64.b64decode(given, validate=True)
    except binascii.Error:
        wanted = b""
    if len(wanted) != hashlib.md5(usedforsecurity=False).digest_size:
        raise S3ClientError("InvalidDigest", "The Content-MD5 you specified was invalid.")
    if not hmac.compare_digest(wanted, hashlib.md5(body, usedforsecurity=False).digest()):
        raise S3ClientError("BadDigest", "The Content-MD5 you specified did not match what we received.")


def _check(name: str, given: str, digest: bytes) -> None:
    if given != base64.b64encode(digest).decode():
        raise S3ClientError("BadDigest", f"The {name} you specified did not match the calculated checksum.")


CORRECTIONS = (
    Correction(
        name="object-digests",
        statement="S3 recomputes a digest sent with an object and refuses the object when it differs.",
        source="https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html",
        anchors=(_PUT, _PART, Anchor("moto.s3.responses:S3Response._get_checksum", "31b05f0908e14183")),
        install=wrap((_PUT, _checked), (_PART, _checked)),
    ),
)
