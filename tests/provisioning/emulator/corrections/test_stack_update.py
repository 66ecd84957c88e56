"""An update reaches the new template, or the stack is what it was."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

VPC = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}}
BUCKET = {"Type": "AWS::S3::Bucket"}
VERSIONED = {
    "Type": "AWS::S3::Bucket",
    "Properties": {"VersioningConfiguration": {"Status": "Enabled"}},
}
IMPOSSIBLE = {
    "Type": "AWS::EC2::Subnet",
    "DependsOn": ["Bucket", "Another"],
    "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "192.168.0.0/24"},
}


def test_a_failed_update_returns_to_the_old_resources(account: Any) -> None:
    account.create("s", {"Vpc": VPC, "Bucket": BUCKET})
    before = (account.vpc_ids(), account.bucket_names())
    account.update("s", {"Vpc": VPC, "Bucket": VERSIONED, "Another": BUCKET, "Bad": IMPOSSIBLE})
    assert account.status("s") == "UPDATE_ROLLBACK_COMPLETE"
    assert ("Bad", "CREATE_FAILED") in account.events("s")
    assert (account.vpc_ids(), account.bucket_names()) == before
    (bucket,) = account.bucket_names()
    assert account.s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Suspended"


def test_a_failed_update_keeps_the_resource_it_was_about_to_replace(account: Any) -> None:
    account.create("s", {"Vpc": VPC, "Bucket": BUCKET})
    before = account.vpc_ids()
    wider = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.9.0.0/16"}}
    account.update("s", {"Vpc": wider, "Bucket": BUCKET, "Another": BUCKET, "Bad": IMPOSSIBLE})
    assert account.status("s") == "UPDATE_ROLLBACK_COMPLETE"
    assert account.vpc_ids() == before == {account.physical_id("s", "Vpc")}


def test_a_stack_after_a_failed_update_can_be_updated_and_deleted(account: Any) -> None:
    account.create("s", {"Vpc": VPC, "Bucket": BUCKET})
    account.update("s", {"Vpc": VPC, "Bucket": BUCKET, "Another": BUCKET, "Bad": IMPOSSIBLE})
    account.update("s", {"Vpc": VPC})
    assert account.status("s") == "UPDATE_COMPLETE"
    assert account.bucket_names() == set()
    account.cloudformation.delete_stack(StackName="s")
    assert account.vpc_ids() == set()


def test_a_bucket_is_changed_in_place(account: Any) -> None:
    account.create("s", {"Bucket": BUCKET})
    (name,) = account.bucket_names()
    account.update("s", {"Bucket": VERSIONED})
    assert account.bucket_names() == {name}
    assert account.s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    assert ("Bucket", "UPDATE_COMPLETE") in account.events("s")


def test_a_property_set_at_creation_replaces_the_resource_before_the_old_one_goes(account: Any) -> None:
    account.create("s", {"Vpc": VPC})
    (old,) = account.vpc_ids()
    account.update("s", {"Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.9.0.0/16"}}})
    (new,) = account.vpc_ids()
    assert new != old
    assert account.physical_id("s", "Vpc") == new
    made = account.events("s").index(("Vpc", "CREATE_COMPLETE"), 5)
    assert account.events("s").index(("Vpc", "DELETE_COMPLETE")) > made


def test_new_tags_leave_the_resource_where_it_is(account: Any) -> None:
    account.create("s", {"Vpc": VPC}, Tags=[{"Key": "run", "Value": "1"}])
    before = account.vpc_ids()
    account.update("s", {"Vpc": VPC}, Tags=[{"Key": "run", "Value": "2"}])
    assert account.vpc_ids() == before
    (vpc,) = (each for each in account.ec2.describe_vpcs()["Vpcs"] if not each["IsDefault"])
    assert {"Key": "run", "Value": "2"} in vpc["Tags"]


def test_an_update_without_changes_is_refused(account: Any) -> None:
    account.create("s", {"Vpc": VPC})
    with pytest.raises(ClientError, match="No updates are to be performed"):
        account.update("s", {"Vpc": VPC})
