"""S3: buckets and objects; every upload carries a SHA-256 that S3 checks."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import FlexibleChecksumError

from provisioning.aws.blocks import Blocks
from provisioning.aws.tags import as_mapping
from provisioning.aws.translation import translated
from provisioning.errors import AwsError, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

PIECE_BYTES = 1 << 20
DELETE_BATCH = 1000  # the most DeleteObjects takes

# The CRT client ignores a local endpoint and would call AWS itself (boto3/crt.py).
CLASSIC = TransferConfig(preferred_transfer_client="classic")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRecord:
    """An object's size in bytes and its user metadata."""

    key: str
    size: int
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedObject:
    """An object's size in bytes and when it was last written."""

    key: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectVersion:
    """One version of an object, or one delete marker."""

    key: str
    version_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MultipartUpload:
    """An upload that was begun and neither completed nor aborted; its parts are billed."""

    key: str
    upload_id: str


def _sent_at_once(params: dict[str, Any], **_: Any) -> None:
    """Take back that the server is asked before a block body is sent: that would cost a round trip each."""
    if isinstance(params.get("body"), Blocks):
        params["headers"].pop("Expect", None)


class S3:
    """The S3 calls this project makes."""

    def __init__(self, client: S3Client, region: str) -> None:
        self._client = client
        self._region = region
        client.meta.events.register_last("before-call.s3", _sent_at_once)

    @translated("s3:ListBuckets")
    def buckets(self) -> tuple[str, ...]:
        """Return the names of the account's buckets in this region."""
        pages = self._client.get_paginator("list_buckets").paginate(BucketRegion=self._region)
        return tuple(bucket["Name"] for page in pages for bucket in page["Buckets"])

    def bucket_tags(self, bucket: str) -> Mapping[str, str]:
        """Return the bucket's tags; none when it has none or is gone."""
        try:
            return self._bucket_tags(bucket)
        except NotFound:
            return {}

    @translated("s3:GetBucketTagging")
    def _bucket_tags(self, bucket: str) -> Mapping[str, str]:
        return as_mapping(self._client.get_bucket_tagging(Bucket=bucket)["TagSet"])

    def head_object(self, bucket: str, key: str) -> ObjectRecord | None:
        """Return the object's record, or None."""
        try:
            return self._head_object(bucket, key)
        except NotFound:
            return None

    @translated("s3:HeadObject")
    def _head_object(self, bucket: str, key: str) -> ObjectRecord:
        answer = self._client.head_object(Bucket=bucket, Key=key)
        return ObjectRecord(key=key, size=answer["ContentLength"], metadata=answer["Metadata"])

    def kept_checksum(self, bucket: str, key: str) -> str | None:
        """Return the SHA-256 that S3 itself keeps of an object, in the form of `checksums.upload_checksum`.

        It is None without the object, and "" where that was put with a checksum of another kind.
        """
        try:
            return self._kept_checksum(bucket, key)
        except NotFound:
            return None

    @translated("s3:HeadObject")
    def _kept_checksum(self, bucket: str, key: str) -> str:
        answer = self._client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        # Of an object in parts, S3 tells their number behind the checksum.
        return answer.get("ChecksumSHA256", "").partition("-")[0]

    @translated("s3:ListObjectsV2")
    def keys(self, bucket: str, prefix: str = "") -> tuple[str, ...]:
        """Return the keys of the objects that begin with the prefix."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return tuple(item["Key"] for page in pages for item in page.get("Contents", []))

    @translated("s3:ListObjectsV2")
    def listed(self, bucket: str, prefix: str) -> tuple[ListedObject, ...]:
        """Return the objects whose keys begin with the prefix, a request per 1,000 of them."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return tuple(
            ListedObject(key=item["Key"], size=item["Size"], modified=item["LastModified"])
            for page in pages
            for item in page.get("Contents", [])
        )

    @translated("s3:PutObject")
    def put_blocks(self, bucket: str, key: str, body: Blocks, sha256: bytes) -> None:
        """Put an object of at most 5 GB whose SHA-256 is known: S3 compares, nothing hashes it again."""
        checksum = base64.b64encode(sha256).decode("ascii")
        # botocore takes whatever can be read and rewound; its types ask for more.
        self._client.put_object(Bucket=bucket, Key=key, Body=cast("Any", body), ChecksumSHA256=checksum)

    def put_noted(
        self, bucket: str, key: str, body: bytes, note: Mapping[str, str], *, only_if_absent: bool
    ) -> bool:
        """Put a small object with metadata; return whether it was put, or its key was taken first."""
        try:
            self._put_noted(bucket, key, body, note, {"IfNoneMatch": "*"} if only_if_absent else {})
        except AwsError as error:
            if error.aws_code in ("PreconditionFailed", "412"):
                return False
            raise
        return True

    @translated("s3:PutObject")
    def _put_noted(
        self, bucket: str, key: str, body: bytes, note: Mapping[str, str], condition: Mapping[str, Any]
    ) -> None:
        self._client.put_object(
            Bucket=bucket, Key=key, Body=body, Metadata=note, ChecksumAlgorithm="SHA256", **condition
        )

    @translated("s3:GetObject")
    def get_object(self, bucket: str, key: str) -> bytes:
        """Return the object's bytes, or raise `NotFound`."""
        return self._client.get_object(Bucket=bucket, Key=key)["Body"].read()

    @translated("s3:GetObject")
    def end_of(self, bucket: str, key: str, size: int) -> bytes:
        """Return the last bytes of an object, all of them where it has no more, or raise `NotFound`."""
        return self._client.get_object(Bucket=bucket, Key=key, Range=f"bytes=-{size}")["Body"].read()

    def pieces(self, bucket: str, key: str) -> Iterator[bytes]:
        """Yield the object's bytes as they arrive; raise `NotFound`, or `AwsError` when they are damaged."""
        with translated("s3:GetObject"):
            body = self._client.get_object(Bucket=bucket, Key=key)["Body"]
            try:
                while piece := body.read(PIECE_BYTES):
                    yield piece
            except FlexibleChecksumError as error:
                raise AwsError(
                    f"s3://{bucket}/{key} arrived damaged: {error}", operation="s3:GetObject"
                ) from error
            finally:
                body.close()

    @translated("s3:PutObject")
    def put_object(self, bucket: str, key: str, body: bytes) -> None:
        """Put a small object, over whatever is there."""
        self._client.put_object(Bucket=bucket, Key=key, Body=body, ChecksumAlgorithm="SHA256")

    def put_object_if_absent(self, bucket: str, key: str, body: bytes) -> bool:
        """Put a small object unless its key is taken; return whether it was put."""
        try:
            self._put_object_if_absent(bucket, key, body)
        except AwsError as error:
            if error.aws_code in ("PreconditionFailed", "412"):
                return False
            raise
        return True

    @translated("s3:PutObject")
    def _put_object_if_absent(self, bucket: str, key: str, body: bytes) -> None:
        self._client.put_object(
            Bucket=bucket, Key=key, Body=body, ChecksumAlgorithm="SHA256", IfNoneMatch="*"
        )

    @translated("s3:PutObject")
    def upload_file(
        self,
        path: Path,
        bucket: str,
        key: str,
        on_bytes: Callable[[int], None] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Upload a file in parts; `on_bytes` is called with each number of bytes sent, from any thread."""
        self._client.upload_file(
            str(path),
            bucket,
            key,
            ExtraArgs={"ChecksumAlgorithm": "SHA256", "Metadata": dict(metadata or {})},
            Callback=on_bytes,
            Config=CLASSIC,
        )

    @translated("s3:GetObject")
    def download_file(self, bucket: str, key: str, path: Path) -> None:
        """Download an object to a path in parts, or raise `NotFound`."""
        self._client.download_file(bucket, key, str(path), Config=CLASSIC)

    @translated("s3:ListObjectVersions")
    def versions(self, bucket: str) -> tuple[ObjectVersion, ...]:
        """Return all versions of all objects, delete markers included."""
        pages = self._client.get_paginator("list_object_versions").paginate(Bucket=bucket)
        return tuple(
            ObjectVersion(key=entry["Key"], version_id=entry["VersionId"])
            for page in pages
            for entry in (*page.get("Versions", []), *page.get("DeleteMarkers", []))
        )

    @translated("s3:DeleteObjects")
    def delete_objects(self, bucket: str, versions: Sequence[ObjectVersion]) -> None:
        """Delete up to `DELETE_BATCH` versions; raise `AwsError` when S3 kept any of them."""
        answer = self._client.delete_objects(
            Bucket=bucket,
            Delete={
                "Objects": [{"Key": entry.key, "VersionId": entry.version_id} for entry in versions],
                "Quiet": True,
            },
        )
        # S3 answers 200 also when it deleted nothing.
        for refused in answer.get("Errors", []):
            raise AwsError(
                f"S3 kept {refused.get('Key')} in {bucket}: {refused.get('Code')}: {refused.get('Message')}",
                "Look at the bucket's policy and object locks.",
                operation="s3:DeleteObjects",
                aws_code=refused.get("Code", ""),
            )

    @translated("s3:ListMultipartUploads")
    def multipart_uploads(self, bucket: str) -> tuple[MultipartUpload, ...]:
        """Return the uploads that were neither completed nor aborted."""
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket)
        return tuple(
            MultipartUpload(key=upload["Key"], upload_id=upload["UploadId"])
            for page in pages
            for upload in page.get("Uploads", [])
        )

    @translated("s3:AbortMultipartUpload")
    def abort_multipart_upload(self, bucket: str, upload: MultipartUpload) -> None:
        """Abort the upload and drop its parts."""
        self._client.abort_multipart_upload(Bucket=bucket, Key=upload.key, UploadId=upload.upload_id)

    @translated("s3:DeleteBucket")
    def delete_bucket(self, bucket: str) -> None:
        """Delete an empty bucket."""
        self._client.delete_bucket(Bucket=bucket)
