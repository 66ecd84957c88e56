"""A stack is made completely or not at all, and says what happened."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

VPC = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}}
SUBNET = {"Type": "AWS::EC2::Subnet", "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.0.1.0/24"}}
IMPOSSIBLE = {
    "Type": "AWS::EC2::Subnet",
    "DependsOn": "Subnet",
    "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "192.168.0.0/24"},
}
FAILING = {"Vpc": VPC, "Subnet": SUBNET, "Bad": IMPOSSIBLE}


def _create_by_change_set(account: Any, name: str, resources: dict[str, Any]) -> None:
    body = json.dumps({"Resources": resources})
    account.cloudformation.create_change_set(
        StackName=name, ChangeSetName="first", ChangeSetType="CREATE", TemplateBody=body
    )
    account.cloudformation.execute_change_set(StackName=name, ChangeSetName="first")


def _create_directly(account: Any, name: str, resources: dict[str, Any]) -> None:
    account.create(name, resources)


@pytest.mark.parametrize("create", [_create_directly, _create_by_change_set])
def test_a_failed_resource_takes_the_others_with_it(account: Any, create: Callable[..., None]) -> None:
    create(account, "s", FAILING)
    assert account.status("s") == "ROLLBACK_COMPLETE"
    assert "[Bad]" in account.stack("s")["StackStatusReason"]
    assert account.vpc_ids() == set()


def test_the_events_tell_the_rollback_in_order(account: Any) -> None:
    account.create("s", FAILING)
    assert account.events("s") == [
        ("s", "CREATE_IN_PROGRESS"),
        ("Vpc", "CREATE_IN_PROGRESS"),
        ("Vpc", "CREATE_IN_PROGRESS"),
        ("Vpc", "CREATE_COMPLETE"),
        ("Subnet", "CREATE_IN_PROGRESS"),
        ("Subnet", "CREATE_IN_PROGRESS"),
        ("Subnet", "CREATE_COMPLETE"),
        ("Bad", "CREATE_IN_PROGRESS"),
        ("Bad", "CREATE_FAILED"),
        ("s", "ROLLBACK_IN_PROGRESS"),
        ("Bad", "DELETE_COMPLETE"),
        ("Subnet", "DELETE_IN_PROGRESS"),
        ("Subnet", "DELETE_COMPLETE"),
        ("Vpc", "DELETE_IN_PROGRESS"),
        ("Vpc", "DELETE_COMPLETE"),
        ("s", "ROLLBACK_COMPLETE"),
    ]
    assert "192.168.0.0/24" in account.reason("s", "Bad", "CREATE_FAILED")


def test_events_come_newest_first_with_types_and_physical_ids(account: Any) -> None:
    stack_id = account.create("s", {"Vpc": VPC}, ClientRequestToken="token-1")
    newest, vpc, *_ = account.cloudformation.describe_stack_events(StackName="s")["StackEvents"]
    assert (newest["ResourceType"], newest["PhysicalResourceId"]) == ("AWS::CloudFormation::Stack", stack_id)
    assert (vpc["ResourceType"], {vpc["PhysicalResourceId"]}) == ("AWS::EC2::VPC", account.vpc_ids())
    assert vpc["ClientRequestToken"] == "token-1"


def test_a_rolled_back_stack_describes_without_making_anything(account: Any) -> None:
    account.create("s", FAILING, Outputs={"Id": {"Value": {"Ref": "Vpc"}}})
    assert "Outputs" not in account.stack("s")
    account.cloudformation.describe_stack_resources(StackName="s")
    assert account.vpc_ids() == set()


def test_a_rolled_back_stack_cannot_be_updated_and_can_be_deleted(account: Any) -> None:
    stack_id = account.create("s", FAILING)
    with pytest.raises(ClientError, match="ROLLBACK_COMPLETE state and can not be updated"):
        account.update("s", {"Vpc": VPC})
    account.cloudformation.delete_stack(StackName="s")
    assert account.status(stack_id) == "DELETE_COMPLETE"


def test_without_rollback_what_was_made_stays(account: Any) -> None:
    account.create("s", FAILING, OnFailure="DO_NOTHING")
    assert account.status("s") == "CREATE_FAILED"
    assert len(account.vpc_ids()) == 1
    account.cloudformation.delete_stack(StackName="s")
    assert account.vpc_ids() == set()


def test_a_stack_to_be_deleted_on_failure_is_gone(account: Any) -> None:
    stack_id = account.create("s", FAILING, OnFailure="DELETE")
    assert account.status(stack_id) == "DELETE_COMPLETE"
    assert account.vpc_ids() == set()


def test_only_retain_outlives_a_rollback(account: Any) -> None:
    kept = {**VPC, "DeletionPolicy": "Retain"}
    dropped = {**VPC, "DeletionPolicy": "RetainExceptOnCreate"}
    bad = {**IMPOSSIBLE, "DependsOn": ["Kept", "Dropped"]}
    bad["Properties"] = {"VpcId": {"Ref": "Kept"}, "CidrBlock": "192.168.0.0/24"}
    account.create("s", {"Kept": kept, "Dropped": dropped, "Bad": bad})
    events = account.events("s")
    assert ("Kept", "DELETE_SKIPPED") in events
    assert ("Dropped", "DELETE_COMPLETE") in events
    assert len(account.vpc_ids()) == 1


def test_resources_have_a_status_of_their_own(account: Any) -> None:
    account.create("s", FAILING)
    told = account.cloudformation.describe_stack_resources(StackName="s")["StackResources"]
    assert {each["LogicalResourceId"]: each["ResourceStatus"] for each in told} == dict.fromkeys(
        ("Vpc", "Subnet", "Bad"), "DELETE_COMPLETE"
    )


def test_a_repeated_token_makes_no_second_stack(account: Any) -> None:
    first = account.create("s", {"Vpc": VPC}, ClientRequestToken="once")
    assert account.create("s", {"Vpc": VPC}, ClientRequestToken="once") == first
    assert len(account.vpc_ids()) == 1
    with pytest.raises(ClientError, match=r"Stack \[s\] already exists"):
        account.create("s", {"Vpc": VPC}, ClientRequestToken="twice")


def test_stack_tags_and_system_tags_are_put_on_resources(account: Any) -> None:
    account.create("s", {"Vpc": VPC}, Tags=[{"Key": "team", "Value": "vision"}])
    (vpc,) = (each for each in account.ec2.describe_vpcs()["Vpcs"] if not each["IsDefault"])
    tags = {tag["Key"]: tag["Value"] for tag in vpc["Tags"]}
    assert tags["team"] == "vision"
    assert tags["aws:cloudformation:stack-name"] == "s"
    assert tags["aws:cloudformation:logical-id"] == "Vpc"
