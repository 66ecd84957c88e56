"""A change set belongs to its stack."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

VPC = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}}
BUCKET = {"Type": "AWS::S3::Bucket"}


def _plan(
    account: Any, stack: str, resources: dict[str, Any], kind: str = "CREATE", name: str = "same"
) -> None:
    body = json.dumps({"Resources": resources})
    account.cloudformation.create_change_set(
        StackName=stack, ChangeSetName=name, ChangeSetType=kind, TemplateBody=body
    )


def test_one_name_means_another_change_set_on_another_stack(account: Any) -> None:
    _plan(account, "one", {"Vpc": VPC})
    _plan(account, "two", {"Bucket": BUCKET})
    account.cloudformation.execute_change_set(StackName="one", ChangeSetName="same")
    assert account.status("one") == "CREATE_COMPLETE"
    assert account.status("two") == "REVIEW_IN_PROGRESS"
    assert (len(account.vpc_ids()), account.bucket_names()) == (1, set())


def test_two_change_sets_that_create_a_stack_share_it(account: Any) -> None:
    _plan(account, "s", {"Vpc": VPC}, name="first")
    _plan(account, "s", {"Vpc": VPC}, name="second")
    assert len(account.cloudformation.describe_stacks()["Stacks"]) == 1
    names = account.cloudformation.list_change_sets(StackName="s")["Summaries"]
    assert [each["ChangeSetName"] for each in names] == ["first", "second"]
    account.cloudformation.execute_change_set(StackName="s", ChangeSetName="second")
    with pytest.raises(ClientError, match="does not exist"):
        account.cloudformation.describe_change_set(StackName="s", ChangeSetName="first")


def test_a_stack_under_review_makes_nothing_and_can_be_deleted(account: Any) -> None:
    _plan(account, "s", {"Vpc": VPC})
    assert account.vpc_ids() == set()
    account.cloudformation.delete_stack(StackName="s")
    assert account.cloudformation.describe_stacks()["Stacks"] == []


def test_a_change_set_without_changes_fails_with_the_reason(account: Any) -> None:
    account.create("s", {"Vpc": VPC})
    _plan(account, "s", {"Vpc": VPC}, kind="UPDATE")
    told = account.cloudformation.describe_change_set(StackName="s", ChangeSetName="same")
    assert (told["Status"], told["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert "didn't contain changes" in told["StatusReason"]
    with pytest.raises(ClientError, match="cannot be executed"):
        account.cloudformation.execute_change_set(StackName="s", ChangeSetName="same")


def test_a_change_set_updates_its_stack(account: Any) -> None:
    account.create("s", {"Vpc": VPC})
    _plan(account, "s", {"Vpc": VPC, "Bucket": BUCKET}, kind="UPDATE")
    told = account.cloudformation.describe_change_set(StackName="s", ChangeSetName="same")
    (change,) = told["Changes"]
    assert change["ResourceChange"]["LogicalResourceId"] == "Bucket"
    account.cloudformation.execute_change_set(StackName="s", ChangeSetName="same")
    assert account.status("s") == "UPDATE_COMPLETE"
    assert len(account.bucket_names()) == 1


def test_executing_twice_with_one_token_is_harmless(account: Any) -> None:
    _plan(account, "s", {"Vpc": VPC})
    for _ in range(2):
        account.cloudformation.execute_change_set(
            StackName="s", ChangeSetName="same", ClientRequestToken="once"
        )
    assert len(account.vpc_ids()) == 1
    with pytest.raises(ClientError, match="cannot be executed"):
        account.cloudformation.execute_change_set(StackName="s", ChangeSetName="same")


def test_a_stack_that_exists_cannot_be_created_by_a_change_set(account: Any) -> None:
    account.create("s", {"Vpc": VPC})
    with pytest.raises(ClientError, match="already exists and cannot be created again"):
        _plan(account, "s", {"Vpc": VPC})
    with pytest.raises(ClientError, match=r"Stack \[none\] does not exist"):
        _plan(account, "none", {"Vpc": VPC}, kind="UPDATE")
