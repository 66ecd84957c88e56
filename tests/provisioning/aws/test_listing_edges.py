from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from provisioning.aws.iam import Iam
from provisioning.aws.logs import Logs
from provisioning.aws.sagemaker import SageMaker
from provisioning.aws.sqs import Letter, Sqs
from provisioning.aws.sts import Sts

if TYPE_CHECKING:
    from tests.provisioning.aws.conftest import StubService

NOW = datetime(2026, 11, 21, tzinfo=UTC)
PATH = "/amazonei/demo/"


def test_roles_are_listed_by_path_over_all_pages(stub: StubService) -> None:
    client, stubber = stub("iam")

    def role(name: str) -> dict[str, object]:
        arn = f"arn:aws:iam::123456789012:role{PATH}{name}"
        return {"RoleName": name, "Path": PATH, "Arn": arn, "RoleId": "AROAEXAMPLEEXAMPLE", "CreateDate": NOW}

    stubber.add_response(
        "list_roles", {"Roles": [role("a")], "IsTruncated": True, "Marker": "m"}, {"PathPrefix": PATH}
    )
    stubber.add_response(
        "list_roles", {"Roles": [role("b")], "IsTruncated": False}, {"PathPrefix": PATH, "Marker": "m"}
    )
    assert [record.name for record in Iam(client).roles(PATH)] == ["a", "b"]


def test_profiles_and_own_policies_are_listed_by_path(stub: StubService) -> None:
    client, stubber = stub("iam")
    profile = {
        "InstanceProfileName": "p",
        "Path": PATH,
        "Arn": "arn:aws:iam::123456789012:instance-profile/p",
        "InstanceProfileId": "AIPAEXAMPLEEXAMPLE",
        "CreateDate": NOW,
        "Roles": [],
    }
    policy = {"PolicyName": "q", "Path": PATH, "Arn": "arn:aws:iam::123456789012:policy/q"}
    stubber.add_response("list_instance_profiles", {"InstanceProfiles": [profile]}, {"PathPrefix": PATH})
    stubber.add_response("list_policies", {"Policies": [policy]}, {"Scope": "Local", "PathPrefix": PATH})
    edge = Iam(client)
    assert [record.name for record in edge.instance_profiles(PATH)] == ["p"]
    assert [record.arn for record in edge.policies(PATH)] == ["arn:aws:iam::123456789012:policy/q"]


def test_log_groups_are_listed_by_prefix(stub: StubService) -> None:
    client, stubber = stub("logs")
    asked = {"logGroupNamePrefix": "/amazonei/"}
    stubber.add_response(
        "describe_log_groups", {"logGroups": [{"logGroupName": "/amazonei/a"}], "nextToken": "2"}, asked
    )
    stubber.add_response(
        "describe_log_groups", {"logGroups": [{"logGroupName": "/amazonei/b"}]}, {**asked, "nextToken": "2"}
    )
    assert Logs(client).log_groups("/amazonei/") == ("/amazonei/a", "/amazonei/b")


def test_sagemaker_resources_are_listed_with_their_tags(stub: StubService) -> None:
    client, stubber = stub("sagemaker")
    arn = "arn:aws:sagemaker:us-west-2:123456789012"
    stubber.add_response(
        "list_endpoints",
        {
            "Endpoints": [
                {
                    "EndpointName": "e",
                    "EndpointArn": f"{arn}:endpoint/e",
                    "CreationTime": NOW,
                    "LastModifiedTime": NOW,
                    "EndpointStatus": "InService",
                }
            ]
        },
        {},
    )
    stubber.add_response(
        "list_endpoint_configs",
        {
            "EndpointConfigs": [
                {
                    "EndpointConfigName": "c",
                    "EndpointConfigArn": f"{arn}:endpoint-config/c",
                    "CreationTime": NOW,
                }
            ]
        },
        {},
    )
    stubber.add_response(
        "list_models",
        {"Models": [{"ModelName": "m", "ModelArn": f"{arn}:model/m", "CreationTime": NOW}]},
        {},
    )
    stubber.add_response(
        "list_tags", {"Tags": [{"Key": "a", "Value": "b"}]}, {"ResourceArn": f"{arn}:model/m"}
    )
    edge = SageMaker(client)
    assert [item.name for item in edge.endpoints()] == ["e"]
    assert [item.name for item in edge.endpoint_configs()] == ["c"]
    (model,) = edge.models()
    assert edge.tags(model.arn) == {"a": "b"}


def test_the_caller_is_who_sts_says(stub: StubService) -> None:
    client, stubber = stub("sts")
    stubber.add_response(
        "get_caller_identity",
        {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/ada", "UserId": "u"},
        {},
    )
    identity = Sts(client).caller_identity()
    assert (identity.account, identity.arn) == ("123456789012", "arn:aws:iam::123456789012:user/ada")


def test_dead_letters_say_which_stack_and_why_and_stay_where_they_are(stub: StubService) -> None:
    client, stubber = stub("sqs")
    why = {"ERROR_MESSAGE": {"DataType": "String", "StringValue": "it is in use"}}
    messages = [
        {"MessageId": "1", "Body": '{"StackName": "demo", "RoleARN": "r"}', "MessageAttributes": why},
        {"MessageId": "2", "Body": "not what we send"},
        {"MessageId": "3", "Body": "[]"},
    ]
    asked = {
        "QueueUrl": "https://q",
        "MaxNumberOfMessages": 10,
        "VisibilityTimeout": 0,
        "MessageAttributeNames": ["ERROR_MESSAGE"],
    }
    stubber.add_response("receive_message", {"Messages": messages}, asked)
    stubber.add_response("receive_message", {}, asked)
    assert Sqs(client).letters("https://q") == (
        Letter(id="1", stack="demo", reason="it is in use"),
        Letter(id="2", stack="", reason=""),
        Letter(id="3", stack="", reason=""),
    )
    assert Sqs(client).letters("https://q") == ()
