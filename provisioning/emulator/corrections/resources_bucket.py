"""Buckets of a template: what is declared is applied, and a bucket with objects stays."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from moto.s3.cloud_formation import cfn_to_api_encryption
from moto.s3.exceptions import BucketNotEmpty
from moto.s3.models import s3_backends
from moto.utilities.utils import get_partition

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.resource_handlers import Handler, Made, Request, register

if TYPE_CHECKING:
    from collections.abc import Mapping

    from moto.s3.models import S3Backend

_S3 = "moto.s3.models:S3Backend"
_SETTINGS = frozenset(
    {
        "VersioningConfiguration",
        "PublicAccessBlockConfiguration",
        "BucketEncryption",
        "OwnershipControls",
        "LifecycleConfiguration",
    }
)


def _backend(request: Request) -> S3Backend:
    return s3_backends[request.account_id][get_partition(request.region)]


def _create(request: Request) -> Any:
    bucket = _backend(request).create_bucket(request.name, request.region)
    return _apply(bucket, request)


def _apply(bucket: Any, request: Request) -> Any:
    backend, properties = _backend(request), request.properties
    if "VersioningConfiguration" in properties:
        backend.put_bucket_versioning(bucket.name, properties["VersioningConfiguration"]["Status"])
    if "PublicAccessBlockConfiguration" in properties:
        backend.put_public_access_block(bucket.name, _words(properties["PublicAccessBlockConfiguration"]))
    if "BucketEncryption" in properties:
        backend.put_bucket_encryption(bucket.name, cfn_to_api_encryption(properties["BucketEncryption"]))
    if "OwnershipControls" in properties:
        bucket.ownership_rule = properties["OwnershipControls"]["Rules"][0]["ObjectOwnership"]
    if "LifecycleConfiguration" in properties:
        rules = properties["LifecycleConfiguration"]["Rules"]
        backend.put_bucket_lifecycle_configuration(bucket.name, [_lifecycle_rule(rule) for rule in rules])
    return bucket


def _change(bucket: Any, request: Request) -> Any:
    """Apply what the template says now, and take back what it no longer says."""
    absent = _SETTINGS - request.properties.keys()
    if "VersioningConfiguration" in absent and bucket.versioning_status == "Enabled":
        bucket.versioning_status = "Suspended"  # versioning is never undone, only suspended
    if "PublicAccessBlockConfiguration" in absent:
        bucket.public_access_block = None
    if "BucketEncryption" in absent:
        bucket.encryption = None
    if "OwnershipControls" in absent:
        bucket.ownership_rule = None
    if "LifecycleConfiguration" in absent:
        bucket.delete_lifecycle()
    return _apply(bucket, request)


def _words(flags: Mapping[str, Any]) -> dict[str, str]:
    # moto keeps these flags as the words they have in XML.
    return {name: str(value).lower() for name, value in flags.items()}


def _lifecycle_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a rule of the template into one of PutBucketLifecycleConfiguration."""
    expiration = {
        api: rule[name]
        for name, api in (("ExpirationInDays", "Days"), ("ExpirationDate", "Date"))
        if name in rule
    }
    if "ExpiredObjectDeleteMarker" in rule:
        expiration["ExpiredObjectDeleteMarker"] = rule["ExpiredObjectDeleteMarker"]
    kept = ("AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration", "Status")
    return {
        "ID": rule.get("Id"),
        "Prefix": rule.get("Prefix", ""),
        **{name: rule[name] for name in kept if name in rule},
        **({"Expiration": expiration} if expiration else {}),
    }


def _delete(bucket: Any, request: Request) -> None:
    if _backend(request).delete_bucket(bucket.name) is None:
        raise BucketNotEmpty(bucket_name=bucket.name)


def _tag(bucket: Any, request: Request) -> None:
    if request.tags:
        _backend(request).put_bucket_tagging(bucket.name, request.tags)


def _install_bucket() -> None:
    register(
        "AWS::S3::Bucket",
        Handler(
            create=_create,
            delete=_delete,
            update=_change,
            tag=_tag,
            name_property="BucketName",
            name_limit=63,
        ),
    )


def _put_policy(request: Request) -> Made:
    bucket, policy = request.properties["Bucket"], request.properties["PolicyDocument"]
    text = policy if isinstance(policy, str) else json.dumps(policy)
    _backend(request).put_bucket_policy(bucket, text.encode())
    return Made(physical_resource_id=bucket)


def _change_policy(_policy: Any, request: Request) -> Made:
    return _put_policy(request)


def _delete_policy(policy: Made, request: Request) -> None:
    _backend(request).delete_bucket_policy(policy.physical_resource_id)


def _install_policy() -> None:
    register(
        "AWS::S3::BucketPolicy", Handler(create=_put_policy, delete=_delete_policy, update=_change_policy)
    )


_REFERENCE = "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/"

CORRECTIONS = (
    Correction(
        name="bucket-resource",
        statement=(
            "A bucket has the versioning, access block, encryption, ownership and lifecycle its template "
            "gives it; only an empty bucket can be deleted."
        ),
        source=_REFERENCE + "aws-resource-s3-bucket.html",
        anchors=(
            Anchor("moto.s3.models:FakeBucket.create_from_cloudformation_json", "587d13502ce742cd"),
            Anchor("moto.s3.models:FakeBucket.set_lifecycle", "6469414e880f779f"),
            Anchor(f"{_S3}.delete_bucket", "e2bc7321898f18f8"),
            Anchor(f"{_S3}.put_public_access_block", "aef5480dca9190d6"),
            Anchor(f"{_S3}.put_bucket_versioning", "7f764ee39c688609"),
        ),
        install=_install_bucket,
    ),
    Correction(
        name="bucket-policy-resource",
        statement="AWS::S3::BucketPolicy puts a policy on a bucket and takes it away again.",
        source=_REFERENCE + "aws-resource-s3-bucketpolicy.html",
        anchors=(
            Anchor(f"{_S3}.put_bucket_policy", "7037e946ab3ffd9a"),
            Anchor(f"{_S3}.delete_bucket_policy", "628d898e79c650a5"),
        ),
        install=_install_policy,
    ),
)
