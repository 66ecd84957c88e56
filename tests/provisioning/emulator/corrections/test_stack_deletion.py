"""A deleted stack is gone, or says what stays and why."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

VPC = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}}
BUCKET = {"Type": "AWS::S3::Bucket"}
EXPORT = {"Id": {"Value": {"Ref": "Vpc"}, "Export": {"Name": "shared-vpc"}}}
IMPORTER = {
    "Group": {
        "Type": "AWS::EC2::SecurityGroup",
        "Properties": {"GroupDescription": "g", "VpcId": {"Fn::ImportValue": "shared-vpc"}},
    }
}


def _with_object(account: Any) -> str:
    account.create("s", {"Vpc": VPC, "Bucket": BUCKET})
    bucket: str = account.physical_id("s", "Bucket")
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    return bucket


def test_a_bucket_with_objects_stays_and_the_rest_goes(account: Any) -> None:
    bucket = _with_object(account)
    account.cloudformation.delete_stack(StackName="s")
    assert account.status("s") == "DELETE_FAILED"
    assert "[Bucket]" in account.stack("s")["StackStatusReason"]
    assert "not empty" in account.reason("s", "Bucket", "DELETE_FAILED")
    assert account.bucket_names() == {bucket}
    assert account.vpc_ids() == set()


def test_the_deletion_succeeds_once_the_bucket_is_empty(account: Any) -> None:
    bucket = _with_object(account)
    stack_id = account.stack("s")["StackId"]
    account.cloudformation.delete_stack(StackName="s")
    account.s3.delete_object(Bucket=bucket, Key="k")
    account.cloudformation.delete_stack(StackName="s")
    assert account.status(stack_id) == "DELETE_COMPLETE"
    assert account.bucket_names() == set()


def test_a_failed_deletion_may_retain_what_failed(account: Any) -> None:
    bucket = _with_object(account)
    stack_id = account.stack("s")["StackId"]
    with pytest.raises(ClientError, match="DELETE_FAILED state"):
        account.cloudformation.delete_stack(StackName="s", RetainResources=["Bucket"])
    account.cloudformation.delete_stack(StackName="s")
    account.cloudformation.delete_stack(StackName="s", RetainResources=["Bucket"])
    assert account.status(stack_id) == "DELETE_COMPLETE"
    assert account.bucket_names() == {bucket}


def test_what_a_failed_resource_needs_is_left_alone(account: Any) -> None:
    policy = {
        "Type": "AWS::S3::BucketPolicy",
        "Properties": {"Bucket": {"Ref": "Bucket"}, "PolicyDocument": {"Statement": []}},
    }
    account.create("s", {"Vpc": VPC, "Bucket": {**BUCKET, "DependsOn": "Vpc"}, "Policy": policy})
    account.s3.put_object(Bucket=account.physical_id("s", "Bucket"), Key="k", Body=b"x")
    account.cloudformation.delete_stack(StackName="s")
    told = account.cloudformation.describe_stack_resources(StackName="s")["StackResources"]
    assert {each["LogicalResourceId"]: each["ResourceStatus"] for each in told} == {
        "Vpc": "CREATE_COMPLETE",
        "Bucket": "DELETE_FAILED",
        "Policy": "DELETE_COMPLETE",
    }


@pytest.mark.parametrize("policy", ["Retain", "RetainExceptOnCreate"])
def test_a_retained_resource_outlives_its_stack(account: Any, policy: str) -> None:
    stack_id = account.create("s", {"Vpc": {**VPC, "DeletionPolicy": policy}})
    account.cloudformation.delete_stack(StackName="s")
    assert account.status(stack_id) == "DELETE_COMPLETE"
    assert ("Vpc", "DELETE_SKIPPED") in account.events(stack_id)
    assert len(account.vpc_ids()) == 1


def test_termination_protection_refuses_until_it_is_switched_off(account: Any) -> None:
    stack_id = account.create("s", {"Vpc": VPC}, EnableTerminationProtection=True)
    with pytest.raises(ClientError, match="TerminationProtection is enabled"):
        account.cloudformation.delete_stack(StackName="s")
    assert account.status("s") == "CREATE_COMPLETE"
    account.cloudformation.update_termination_protection(StackName="s", EnableTerminationProtection=False)
    account.cloudformation.delete_stack(StackName="s")
    assert account.status(stack_id) == "DELETE_COMPLETE"


def test_an_absent_stack_is_deleted_silently(account: Any) -> None:
    account.cloudformation.delete_stack(StackName="never-made")


def test_a_deleted_stack_is_found_by_its_id_only(account: Any) -> None:
    stack_id = account.create("s", {"Vpc": VPC})
    account.cloudformation.delete_stack(StackName="s")
    with pytest.raises(ClientError, match="does not exist"):
        account.stack("s")
    assert account.status(stack_id) == "DELETE_COMPLETE"
    account.create("s", {"Vpc": VPC})
    assert account.status("s") == "CREATE_COMPLETE"


def test_an_export_in_use_keeps_its_stack(account: Any) -> None:
    account.create("exporter", {"Vpc": VPC}, Outputs=EXPORT)
    account.create("importer", IMPORTER)
    account.cloudformation.delete_stack(StackName="exporter")
    exporter = account.stack("exporter")
    assert exporter["StackStatus"] == "CREATE_COMPLETE"
    assert "shared-vpc cannot be deleted as it is in use by importer" in exporter["StackStatusReason"]
    account.cloudformation.delete_stack(StackName="importer")
    account.cloudformation.delete_stack(StackName="exporter")
    assert account.vpc_ids() == set()
    assert account.cloudformation.list_exports()["Exports"] == []


def test_two_stacks_cannot_export_one_name(account: Any) -> None:
    account.create("first", {"Vpc": VPC}, Outputs=EXPORT)
    account.create("second", {"Vpc": VPC}, Outputs=EXPORT)
    assert account.status("second") == "ROLLBACK_COMPLETE"
    assert "already exported by stack first" in account.stack("second")["StackStatusReason"]
    assert len(account.vpc_ids()) == 1


def test_an_import_of_nothing_rolls_back(account: Any) -> None:
    account.create("importer", IMPORTER)
    assert account.status("importer") == "ROLLBACK_COMPLETE"
    assert "No export named shared-vpc" in account.reason("importer", "Group", "CREATE_FAILED")
