"""What S3 keeps of an object that was sent, computed here."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from s3transfer.utils import ChunksizeAdjuster

from provisioning.aws.s3 import CLASSIC

if TYPE_CHECKING:
    from pathlib import Path


def upload_checksum(path: Path) -> str:
    """Return the SHA-256 that S3 keeps of a file which `upload_file` sends, in base64.

    Of what is sent in parts that is the SHA-256 of the parts' SHA-256s, one after the other: S3 keeps none of
    the whole (https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html).
    """
    size = path.stat().st_size
    whole = size < CLASSIC.multipart_threshold
    part = size if whole else ChunksizeAdjuster().adjust_chunksize(CLASSIC.multipart_chunksize, size)
    digests = []
    with path.open("rb") as stream:
        while data := stream.read(part):
            digests.append(hashlib.sha256(data).digest())
    digest = digests[0] if whole and digests else hashlib.sha256(b"".join(digests)).digest()
    return base64.b64encode(digest).decode("ascii")
