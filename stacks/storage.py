"""The bucket that artifacts travel through, to the hosts and back."""

from __future__ import annotations

from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.storage_days import keep_days


class ArtifactBucket(Construct):
    """An encrypted, versioned, private bucket that answers over TLS only and forgets in time.

    It is left to whoever tears down to empty it: CloudFormation refuses to delete a bucket with
    objects, and a custom resource that empties it would be one more thing to leave behind.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, ttl_s: int, kms_key: str | None = None
    ) -> None:
        super().__init__(scope, construct_id)
        bucket = s3.CfnBucket(
            self,
            "Bucket",
            bucket_encryption=_encryption(kms_key),
            lifecycle_configuration=s3.CfnBucket.LifecycleConfigurationProperty(rules=_lifecycle(ttl_s)),
            ownership_controls=s3.CfnBucket.OwnershipControlsProperty(
                rules=[s3.CfnBucket.OwnershipControlsRuleProperty(object_ownership="BucketOwnerEnforced")]
            ),
            public_access_block_configuration=s3.CfnBucket.PublicAccessBlockConfigurationProperty(
                block_public_acls=True,
                block_public_policy=True,
                ignore_public_acls=True,
                restrict_public_buckets=True,
            ),
            # Events cost nothing until somebody subscribes to them.
            notification_configuration=s3.CfnBucket.NotificationConfigurationProperty(
                event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(
                    event_bridge_enabled=True
                )
            ),
            versioning_configuration=s3.CfnBucket.VersioningConfigurationProperty(status="Enabled"),
        )
        self.name = bucket.ref
        self.arn = bucket.attr_arn
        s3.CfnBucketPolicy(self, "Policy", bucket=self.name, policy_document=_tls_only(self.arn))


def _encryption(kms_key: str | None) -> s3.CfnBucket.BucketEncryptionProperty:
    # Without a key of the account's own it is aws/s3, which costs nothing and needs no permission.
    by_default = s3.CfnBucket.ServerSideEncryptionByDefaultProperty(
        sse_algorithm="aws:kms", kms_master_key_id=kms_key
    )
    rule = s3.CfnBucket.ServerSideEncryptionRuleProperty(
        server_side_encryption_by_default=by_default,
        # One data key for many objects: a host's reads must not be a bill of their own.
        bucket_key_enabled=True,
    )
    return s3.CfnBucket.BucketEncryptionProperty(server_side_encryption_configuration=[rule])


def _lifecycle(ttl_s: int) -> list[s3.CfnBucket.RuleProperty]:
    return [
        s3.CfnBucket.RuleProperty(
            id="forget-unfinished-and-replaced",
            status="Enabled",
            abort_incomplete_multipart_upload=s3.CfnBucket.AbortIncompleteMultipartUploadProperty(
                days_after_initiation=1
            ),
            noncurrent_version_expiration=s3.CfnBucket.NoncurrentVersionExpirationProperty(noncurrent_days=1),
            # What an expiry leaves in a versioned bucket; the rule below would keep it for its days again.
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html
            expired_object_delete_marker=True,
        ),
        # Of a deployment that nobody tears down, the guard can delete the bucket only when it is empty.
        s3.CfnBucket.RuleProperty(
            id="forget-everything", status="Enabled", expiration_in_days=keep_days(ttl_s)
        ),
    ]


def _tls_only(bucket_arn: str) -> dict[str, object]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [bucket_arn, f"{bucket_arn}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }
