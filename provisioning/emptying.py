"""Empty a bucket: CloudFormation and S3 delete only empty ones."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from provisioning.aws.s3 import DELETE_BATCH
from provisioning.errors import NotFound

if TYPE_CHECKING:
    from provisioning.aws import Aws


def empty_bucket(aws: Aws, bucket: str) -> None:
    """Delete all versions, delete markers and unfinished uploads; a bucket that is gone is empty."""
    with suppress(NotFound):
        versions = aws.s3.versions(bucket)
        for start in range(0, len(versions), DELETE_BATCH):
            aws.s3.delete_objects(bucket, versions[start : start + DELETE_BATCH])
        for upload in aws.s3.multipart_uploads(bucket):
            aws.s3.abort_multipart_upload(bucket, upload)
