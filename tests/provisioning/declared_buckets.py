"""Buckets with versions and unfinished uploads, of which AWS deletes only empty ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioning.aws.s3 import S3, MultipartUpload, ObjectVersion
from provisioning.deployment import TAG_DEPLOYMENT
from provisioning.errors import AwsError, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass
class DeclaredBucket:
    tags: Mapping[str, str]
    versions: list[ObjectVersion]
    uploads: list[MultipartUpload]
    late_writes: int = 0
    refuses: AwsError | None = None


class DeclaredS3(S3):
    """Buckets with versions and unfinished uploads; the CloudFormation beside it deletes only empty ones."""

    def __init__(self) -> None:
        self.contents: dict[str, DeclaredBucket] = {}
        self.batches: list[int] = []

    def declare_bucket(
        self, name: str, *, tags: Mapping[str, str] | None = None, versions: int = 0, uploads: int = 0
    ) -> DeclaredBucket:
        bucket = DeclaredBucket(
            tags={TAG_DEPLOYMENT: "demo"} if tags is None else tags,
            versions=[ObjectVersion(key=f"k{number}", version_id="v") for number in range(versions)],
            uploads=[MultipartUpload(key="k", upload_id=str(number)) for number in range(uploads)],
        )
        self.contents[name] = bucket
        return bucket

    def holds_something(self, name: str) -> bool:
        bucket = self.contents.get(name)
        return bucket is not None and bool(bucket.versions or bucket.uploads)

    def drop(self, names: Iterable[str]) -> None:
        for name in names:
            self.contents.pop(name, None)

    def buckets(self) -> tuple[str, ...]:
        return tuple(self.contents)

    def bucket_tags(self, bucket: str) -> Mapping[str, str]:
        return self.contents[bucket].tags

    def versions(self, bucket: str) -> tuple[ObjectVersion, ...]:
        return tuple(self._bucket(bucket).versions)

    def delete_objects(self, bucket: str, versions: Sequence[ObjectVersion]) -> None:
        self.batches.append(len(versions))
        found = self._bucket(bucket)
        if found.refuses is not None:
            raise found.refuses
        found.versions = [version for version in found.versions if version not in versions]
        if found.late_writes and not found.versions:
            found.late_writes -= 1
            found.versions.append(ObjectVersion(key="late", version_id=str(found.late_writes)))

    def multipart_uploads(self, bucket: str) -> tuple[MultipartUpload, ...]:
        return tuple(self._bucket(bucket).uploads)

    def abort_multipart_upload(self, bucket: str, upload: MultipartUpload) -> None:
        self._bucket(bucket).uploads.remove(upload)

    def delete_bucket(self, bucket: str) -> None:
        if self.holds_something(bucket):
            raise AwsError(f"Bucket {bucket} is not empty", aws_code="BucketNotEmpty")
        del self.contents[bucket]

    def _bucket(self, name: str) -> DeclaredBucket:
        if name not in self.contents:
            raise NotFound(f"There is no bucket {name}", aws_code="NoSuchBucket")
        return self.contents[name]
