from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from provisioning.aws.cloudformation import ChangeSetRecord, ChangeSetRequest, CloudFormation, StackEvent
from provisioning.errors import AccessDenied

if TYPE_CHECKING:
    from tests.provisioning.aws.conftest import StubService

NOW = datetime(2026, 11, 21, tzinfo=UTC)
STACK_ID = "arn:aws:cloudformation:us-west-2:123456789012:stack/demo/1"


def event(number: int, **more: str) -> dict[str, Any]:
    return {"StackId": STACK_ID, "EventId": f"e{number}", "StackName": "demo", "Timestamp": NOW, **more}


def stack(name: str, deployment: str | None = None) -> dict[str, Any]:
    tags = [{"Key": "amazonei:deployment", "Value": deployment}] if deployment else []
    return {
        "StackId": f"id-{name}",
        "StackName": name,
        "CreationTime": NOW,
        "StackStatus": "CREATE_COMPLETE",
        "Tags": tags,
    }


def test_a_change_set_is_asked_for_with_its_token_and_its_tags(stub: StubService) -> None:
    client, stubber = stub("cloudformation")
    stubber.add_response(
        "create_change_set",
        {"Id": "arn:aws:cloudformation:us-west-2:123456789012:changeSet/x", "StackId": STACK_ID},
        {
            "StackName": "demo",
            "ChangeSetName": "amazonei-t1",
            "ChangeSetType": "CREATE",
            "TemplateBody": "{}",
            "Parameters": [{"ParameterKey": "RunId", "ParameterValue": "r1"}],
            "Tags": [{"Key": "amazonei:deployment", "Value": "demo"}],
            "Capabilities": ["CAPABILITY_NAMED_IAM"],
            "ClientToken": "t1",
        },
    )
    CloudFormation(client).create_change_set(
        ChangeSetRequest(
            stack="demo",
            name="amazonei-t1",
            kind="CREATE",
            body="{}",
            parameters={"RunId": "r1"},
            tags={"amazonei:deployment": "demo"},
            token="t1",
        )
    )


def test_events_come_oldest_first_and_stop_at_the_last_one_seen_without_reading_further_pages(
    stub: StubService,
) -> None:
    client, stubber = stub("cloudformation")
    stubber.add_response(
        "describe_stack_events",
        {"StackEvents": [event(5), event(4)], "NextToken": "more"},
        {"StackName": "demo"},
    )
    stubber.add_response(
        "describe_stack_events",
        {"StackEvents": [event(3), event(2), event(1)], "NextToken": "never-asked"},
        {"StackName": "demo", "NextToken": "more"},
    )
    found = CloudFormation(client).events("demo", after="e2")
    assert [entry.id for entry in found] == ["e3", "e4", "e5"]


def test_stacks_of_a_deployment_are_found_by_tag_over_all_pages(stub: StubService) -> None:
    client, stubber = stub("cloudformation")
    stubber.add_response(
        "describe_stacks", {"Stacks": [stack("demo", "demo"), stack("other")], "NextToken": "2"}, {}
    )
    stubber.add_response(
        "describe_stacks", {"Stacks": [stack("demo-c7i-xlarge", "demo"), stack("x", "y")]}, {"NextToken": "2"}
    )
    found = CloudFormation(client).list_stacks_of("demo")
    assert [record.name for record in found] == ["demo", "demo-c7i-xlarge"]


def test_a_stack_that_is_not_there_is_none(stub: StubService) -> None:
    client, stubber = stub("cloudformation")
    stubber.add_client_error(
        "describe_stacks",
        "ValidationError",
        "Stack with id demo does not exist",
        400,
        None,
        {"StackName": "demo"},
    )
    assert CloudFormation(client).describe_stack("demo") is None


def test_a_stack_that_may_not_be_seen_is_not_absent(stub: StubService) -> None:
    client, stubber = stub("cloudformation")
    stubber.add_client_error("describe_stacks", "AccessDenied", "not authorized")
    with pytest.raises(AccessDenied) as caught:
        CloudFormation(client).describe_stack("demo")
    assert caught.value.operation == "cloudformation:DescribeStacks"


def test_a_stack_is_read_whole(stub: StubService) -> None:
    client, stubber = stub("cloudformation")
    answer = stack("demo", "demo") | {
        "Outputs": [{"OutputKey": "VpcId", "OutputValue": "vpc-1"}],
        "Parameters": [{"ParameterKey": "RunId", "ParameterValue": "r1"}],
        "EnableTerminationProtection": True,
        "StackStatusReason": "because",
    }
    stubber.add_response("describe_stacks", {"Stacks": [answer]}, {"StackName": "demo"})
    record = CloudFormation(client).describe_stack("demo")
    assert record is not None
    assert (record.id, record.outputs, record.parameters) == ("id-demo", {"VpcId": "vpc-1"}, {"RunId": "r1"})
    assert (record.protected, record.deployment, record.reason) == (True, "demo", "because")


@pytest.mark.parametrize(
    ("status", "reason", "empty"),
    [
        ("FAILED", "The submitted information didn't contain changes. Submit different information", True),
        ("FAILED", "No updates are to be performed.", True),
        ("FAILED", "Template error: unresolved dependency", False),
        ("CREATE_COMPLETE", "No updates are to be performed.", False),
    ],
)
def test_only_the_lack_of_changes_makes_a_failed_change_set_empty(
    status: str, reason: str, empty: bool
) -> None:
    assert ChangeSetRecord(name="c", status=status, reason=reason, tags={}).empty is empty


@pytest.mark.parametrize(
    ("kind", "physical_id", "status", "ends"),
    [
        ("AWS::CloudFormation::Stack", STACK_ID, "CREATE_COMPLETE", True),
        ("AWS::CloudFormation::Stack", STACK_ID, "DELETE_FAILED", True),
        ("AWS::CloudFormation::Stack", STACK_ID, "UPDATE_ROLLBACK_COMPLETE", True),
        ("AWS::CloudFormation::Stack", STACK_ID, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", False),
        ("AWS::CloudFormation::Stack", STACK_ID, "ROLLBACK_IN_PROGRESS", False),
        ("AWS::CloudFormation::Stack", "a-nested-stack", "CREATE_COMPLETE", False),
        ("AWS::EC2::VPC", "vpc-1", "CREATE_COMPLETE", False),
    ],
)
def test_only_an_event_of_the_stack_itself_ends_an_operation(
    kind: str, physical_id: str, status: str, ends: bool
) -> None:
    entry = StackEvent(
        id="e",
        stack_id=STACK_ID,
        time=NOW,
        logical_id="demo",
        physical_id=physical_id,
        type=kind,
        status=status,
        reason="",
    )
    assert entry.ends_operation is ends


def test_resources_and_change_sets_are_read_over_all_pages(stub: StubService) -> None:
    client, stubber = stub("cloudformation")
    row = {
        "LogicalResourceId": "Bucket",
        "PhysicalResourceId": "demo-bucket",
        "ResourceType": "AWS::S3::Bucket",
        "ResourceStatus": "CREATE_COMPLETE",
        "LastUpdatedTimestamp": NOW,
    }
    unmade = {key: value for key, value in row.items() if key != "PhysicalResourceId"}
    asked = {"StackName": "demo"}
    stubber.add_response("list_stack_resources", {"StackResourceSummaries": [row], "NextToken": "2"}, asked)
    stubber.add_response(
        "list_stack_resources", {"StackResourceSummaries": [unmade]}, {**asked, "NextToken": "2"}
    )
    stubber.add_response("list_change_sets", {"Summaries": [{"ChangeSetName": "a"}]}, asked)
    edge = CloudFormation(client)
    assert [resource.physical_id for resource in edge.resources("demo")] == ["demo-bucket", ""]
    assert edge.change_sets("demo") == ("a",)


def test_a_deletion_and_an_execution_carry_their_tokens(stub: StubService) -> None:
    client, stubber = stub("cloudformation")
    stubber.add_response("delete_stack", {}, {"StackName": STACK_ID, "ClientRequestToken": "d"})
    named = {"StackName": "demo", "ChangeSetName": "c"}
    stubber.add_response(
        "execute_change_set", {}, {**named, "ClientRequestToken": "t", "DisableRollback": False}
    )
    stubber.add_response("delete_change_set", {}, {"StackName": "demo", "ChangeSetName": "c"})
    edge = CloudFormation(client)
    edge.delete_stack(STACK_ID, "d")
    edge.execute_change_set("demo", "c", "t")
    edge.delete_change_set("demo", "c")
