"""An object whose digest is wrong is not stored."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

BODY = b"an artifact"
WRONG = base64.b64encode(bytes(32)).decode()


@pytest.fixture
def bucket(account: Any) -> str:
    name = f"artifacts-{uuid4()}"
    account.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    return name


@pytest.mark.parametrize(
    ("digest", "code"),
    [
        ({"ChecksumSHA256": WRONG}, "BadDigest"),
        ({"ChecksumSHA256": WRONG, "ChecksumAlgorithm": "SHA256"}, "BadDigest"),
        ({"ChecksumCRC32": base64.b64encode(bytes(4)).decode()}, "BadDigest"),
        ({"ContentMD5": base64.b64encode(bytes(16)).decode()}, "BadDigest"),
        ({"ContentMD5": "not-a-digest"}, "InvalidDigest"),
    ],
)
def test_a_wrong_digest_stores_nothing(account: Any, bucket: str, digest: dict[str, str], code: str) -> None:
    with pytest.raises(ClientError) as refused:
        account.s3.put_object(Bucket=bucket, Key="k", Body=BODY, **digest)
    assert refused.value.response["Error"]["Code"] == code
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert account.s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize(
    "digest",
    [
        {},
        {"ChecksumSHA256": base64.b64encode(hashlib.sha256(BODY).digest()).decode()},
        {"ContentMD5": base64.b64encode(hashlib.md5(BODY, usedforsecurity=False).digest()).decode()},
    ],
)
def test_a_right_digest_stores_the_object(account: Any, bucket: str, digest: dict[str, str]) -> None:
    account.s3.put_object(Bucket=bucket, Key="k", Body=BODY, **digest)
    assert account.s3.get_object(Bucket=bucket, Key="k")["Body"].read() == BODY


def test_a_part_with_a_wrong_digest_is_refused(account: Any, bucket: str) -> None:
    upload = account.s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    with pytest.raises(ClientError, match="BadDigest"):
        account.s3.upload_part(
            Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=BODY, ChecksumSHA256=WRONG
        )
    assert "Parts" not in account.s3.list_parts(Bucket=bucket, Key="k", UploadId=upload)
