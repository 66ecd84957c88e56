from __future__ import annotations

import base64
import hashlib
import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.response import StreamingBody
from moto import mock_aws

from provisioning.aws.blocks import Blocks
from provisioning.aws.checksums import upload_checksum
from provisioning.aws.s3 import CLASSIC, S3, ListedObject, MultipartUpload, ObjectVersion
from provisioning.errors import AccessDenied, AwsError, NotFound

if TYPE_CHECKING:
    from pathlib import Path

    from tests.provisioning.aws.conftest import StubService


def test_buckets_are_those_of_the_region_over_all_pages(stub: StubService) -> None:
    client, stubber = stub("s3")
    asked = {"BucketRegion": "us-west-2"}
    stubber.add_response("list_buckets", {"Buckets": [{"Name": "a"}], "ContinuationToken": "2"}, asked)
    stubber.add_response("list_buckets", {"Buckets": [{"Name": "b"}]}, {**asked, "ContinuationToken": "2"})
    assert S3(client, "us-west-2").buckets() == ("a", "b")


@pytest.mark.parametrize("code", ["NoSuchTagSet", "NoSuchBucket"])
def test_a_bucket_without_tags_has_none(stub: StubService, code: str) -> None:
    client, stubber = stub("s3")
    stubber.add_client_error("get_bucket_tagging", code, "none", 404, None, {"Bucket": "b"})
    assert S3(client, "us-west-2").bucket_tags("b") == {}


def test_a_bucket_whose_tags_may_not_be_seen_is_not_a_bucket_without_tags(stub: StubService) -> None:
    client, stubber = stub("s3")
    stubber.add_client_error("get_bucket_tagging", "AccessDenied", "no")
    with pytest.raises(AccessDenied):
        S3(client, "us-west-2").bucket_tags("b")


def test_an_object_that_is_not_there_is_none_and_a_forbidden_one_is_an_error(stub: StubService) -> None:
    client, stubber = stub("s3")
    stubber.add_client_error("head_object", "404", "Not Found", 404)
    stubber.add_client_error("head_object", "403", "Forbidden", 403)
    stubber.add_response(
        "head_object", {"ContentLength": 5, "Metadata": {"a": "b"}}, {"Bucket": "b", "Key": "k"}
    )
    edge = S3(client, "us-west-2")
    assert edge.head_object("b", "k") is None
    with pytest.raises(AccessDenied):
        edge.head_object("b", "k")
    record = edge.head_object("b", "k")
    assert record is not None
    assert (record.size, record.metadata) == (5, {"a": "b"})


def test_the_checksum_that_s3_keeps_is_asked_for(stub: StubService) -> None:
    client, stubber = stub("s3")
    asked = {"Bucket": "b", "Key": "k", "ChecksumMode": "ENABLED"}
    told = {"ContentLength": 5, "Metadata": {}}
    stubber.add_client_error("head_object", "404", "Not Found", 404, None, asked)
    stubber.add_response("head_object", {**told, "ChecksumCRC64NVME": "AAAAAAAAAAA="}, asked)
    stubber.add_response(
        "head_object", {**told, "ChecksumSHA256": "abc=", "ChecksumType": "FULL_OBJECT"}, asked
    )
    stubber.add_response(
        "head_object", {**told, "ChecksumSHA256": "abc=-3", "ChecksumType": "COMPOSITE"}, asked
    )
    edge = S3(client, "us-west-2")
    assert [edge.kept_checksum("b", "k") for _ in range(4)] == [None, "", "abc=", "abc="]


@pytest.mark.parametrize("size", [0, 7, (8 << 20) - 1, 8 << 20, (8 << 20) + 1, 20_000_000])
def test_the_checksum_of_a_file_is_the_one_that_is_kept_of_it(tmp_path: Path, size: int) -> None:
    path = tmp_path / "package"
    path.write_bytes((bytes(range(251)) * (size // 251 + 1))[:size])
    with mock_aws():
        client: Any = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="bucket")
        edge = S3(client, "us-east-1")
        edge.upload_file(path, "bucket", "k")
        assert edge.kept_checksum("bucket", "k") == upload_checksum(path)
        client.put_object(Bucket="bucket", Key="k", Body=b"x" * size + b"y", ChecksumAlgorithm="SHA256")
        assert edge.kept_checksum("bucket", "k") not in ("", upload_checksum(path))


def test_every_put_carries_a_sha256(stub: StubService) -> None:
    client, stubber = stub("s3")
    asked = {"Bucket": "b", "Key": "k", "Body": b"x", "ChecksumAlgorithm": "SHA256"}
    stubber.add_response("put_object", {}, asked)
    stubber.add_response("put_object", {}, {**asked, "IfNoneMatch": "*"})
    edge = S3(client, "us-west-2")
    edge.put_object("b", "k", b"x")
    assert edge.put_object_if_absent("b", "k", b"x") is True


def test_a_taken_key_is_left_alone_and_other_refusals_are_errors(stub: StubService) -> None:
    client, stubber = stub("s3")
    stubber.add_client_error("put_object", "PreconditionFailed", "there", 412)
    stubber.add_client_error("put_object", "NoSuchBucket", "gone", 404)
    edge = S3(client, "us-west-2")
    assert edge.put_object_if_absent("b", "k", b"x") is False
    with pytest.raises(NotFound):
        edge.put_object_if_absent("b", "k", b"x")


def test_an_objects_bytes_are_read(stub: StubService) -> None:
    client, stubber = stub("s3")
    body = StreamingBody(io.BytesIO(b"hello"), 5)
    stubber.add_response("get_object", {"Body": body}, {"Bucket": "b", "Key": "k"})
    assert S3(client, "us-west-2").get_object("b", "k") == b"hello"


def test_the_end_of_an_object_is_asked_for_by_its_size(stub: StubService) -> None:
    client, stubber = stub("s3")
    body = StreamingBody(io.BytesIO(b"llo"), 3)
    stubber.add_response("get_object", {"Body": body}, {"Bucket": "b", "Key": "k", "Range": "bytes=-3"})
    assert S3(client, "us-west-2").end_of("b", "k", 3) == b"llo"


def test_versions_and_delete_markers_are_both_versions(stub: StubService) -> None:
    client, stubber = stub("s3")
    stubber.add_response(
        "list_object_versions",
        {
            "IsTruncated": True,
            "NextKeyMarker": "k",
            "NextVersionIdMarker": "v1",
            "Versions": [{"Key": "k", "VersionId": "v1"}],
        },
        {"Bucket": "b"},
    )
    stubber.add_response(
        "list_object_versions",
        {"IsTruncated": False, "DeleteMarkers": [{"Key": "k", "VersionId": "v2"}]},
        {"Bucket": "b", "KeyMarker": "k", "VersionIdMarker": "v1"},
    )
    assert S3(client, "us-west-2").versions("b") == (
        ObjectVersion(key="k", version_id="v1"),
        ObjectVersion(key="k", version_id="v2"),
    )


def test_an_object_that_s3_kept_is_an_error_although_the_answer_was_200(stub: StubService) -> None:
    client, stubber = stub("s3")
    stubber.add_response(
        "delete_objects",
        {"Errors": [{"Key": "k", "Code": "AccessDenied", "Message": "locked"}]},
        {"Bucket": "b", "Delete": {"Objects": [{"Key": "k", "VersionId": "v1"}], "Quiet": True}},
    )
    with pytest.raises(AwsError, match="S3 kept k in b: AccessDenied: locked") as caught:
        S3(client, "us-west-2").delete_objects("b", [ObjectVersion(key="k", version_id="v1")])
    assert caught.value.aws_code == "AccessDenied"


def test_unfinished_uploads_are_listed_and_aborted(stub: StubService) -> None:
    client, stubber = stub("s3")
    stubber.add_response(
        "list_multipart_uploads", {"Uploads": [{"Key": "k", "UploadId": "u"}]}, {"Bucket": "b"}
    )
    stubber.add_response("abort_multipart_upload", {}, {"Bucket": "b", "Key": "k", "UploadId": "u"})
    stubber.add_response("delete_bucket", {}, {"Bucket": "b"})
    edge = S3(client, "us-west-2")
    (upload,) = edge.multipart_uploads("b")
    assert upload == MultipartUpload(key="k", upload_id="u")
    edge.abort_multipart_upload("b", upload)
    edge.delete_bucket("b")


def test_an_upload_arrives_whole_and_reports_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "artifact"
    path.write_bytes(bytes(range(250)) * 40_000)  # 10 MB: more than one part
    sent: list[int] = []
    with mock_aws():
        client: Any = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="bucket")
        edge = S3(client, "us-east-1")
        edge.upload_file(path, "bucket", "k", sent.append)
        assert edge.get_object("bucket", "k") == path.read_bytes()
    assert sum(sent) == 10_000_000


def test_a_file_whose_digest_is_known_arrives_whole_and_is_held_to_it(tmp_path: Path) -> None:
    path = tmp_path / "wheel"
    path.write_bytes(bytes(range(250)) * 40_000)
    sent: list[int] = []
    with mock_aws():
        signed = Config(s3={"payload_signing_enabled": False})  # as our sessions have it: read once
        client: Any = boto3.client("s3", region_name="us-east-1", config=signed)
        client.create_bucket(Bucket="bucket")
        headers: dict[str, Any] = {}
        client.meta.events.register(
            "before-send.s3.PutObject", lambda request, **_: headers.update(request.headers)
        )
        edge = S3(client, "us-east-1")
        digest = hashlib.sha256(path.read_bytes()).digest()
        with path.open("rb") as stream:
            body = Blocks(stream.fileno(), [(0, 4_000_000), (4_000_000, 6_000_000)], sent.append)
            edge.put_blocks("bucket", "k", body, digest)
        assert edge.get_object("bucket", "k") == path.read_bytes()
    assert sum(sent) == 10_000_000
    assert headers["x-amz-checksum-sha256"] == base64.b64encode(digest)
    assert "Expect" not in headers, "a round trip for every piece"
    assert headers["Content-Length"] == "10000000"


def test_uploads_never_use_the_client_that_ignores_a_local_endpoint() -> None:
    assert vars(CLASSIC)["preferred_transfer_client"] == "classic"


def test_a_refused_upload_is_told_in_our_words(stub: StubService, tmp_path: Path) -> None:
    client, stubber = stub("s3")
    path = tmp_path / "artifact"
    path.write_bytes(b"12345")
    stubber.add_client_error("put_object", "NoSuchBucket", "gone", 404)
    with pytest.raises(NotFound) as caught:
        S3(client, "us-west-2").upload_file(path, "b", "k")
    assert caught.value.operation == "s3:PutObject"


def test_keys_are_read_over_all_pages(stub: StubService) -> None:
    client, stubber = stub("s3")
    asked = {"Bucket": "b", "Prefix": "results/"}
    stubber.add_response(
        "list_objects_v2",
        {"IsTruncated": True, "NextContinuationToken": "2", "Contents": [{"Key": "results/1"}]},
        asked,
    )
    stubber.add_response(
        "list_objects_v2",
        {"IsTruncated": False, "Contents": [{"Key": "results/2"}]},
        {**asked, "ContinuationToken": "2"},
    )
    assert S3(client, "us-west-2").keys("b", "results/") == ("results/1", "results/2")


def test_objects_are_listed_with_size_and_time(stub: StubService) -> None:
    client, stubber = stub("s3")
    when = datetime(2026, 11, 28, tzinfo=UTC)
    contents = [{"Key": "a/1", "Size": 5, "LastModified": when}]
    stubber.add_response(
        "list_objects_v2", {"IsTruncated": False, "Contents": contents}, {"Bucket": "b", "Prefix": "a/"}
    )
    stubber.add_response("list_objects_v2", {"IsTruncated": False}, {"Bucket": "b", "Prefix": "c/"})
    s3 = S3(client, "us-west-2")
    assert s3.listed("b", "a/") == (ListedObject(key="a/1", size=5, modified=when),)
    assert s3.listed("b", "c/") == ()
