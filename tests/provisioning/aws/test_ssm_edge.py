from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from provisioning.aws.ssm import CommandRequest, InvocationRecord, Ssm
from provisioning.errors import NotFound

if TYPE_CHECKING:
    from tests.provisioning.aws.conftest import StubService

COMMAND = "11111111-2222-3333-4444-555555555555"


def test_a_command_goes_to_the_hosts_with_all_of_the_tags_and_its_output_to_the_bucket(
    stub: StubService,
) -> None:
    client, stubber = stub("ssm")
    stubber.add_response(
        "send_command",
        {"Command": {"CommandId": COMMAND}},
        {
            "DocumentName": "doc",
            "Parameters": {"Operation": ["install"]},
            "TimeoutSeconds": 60,
            "Targets": [
                {"Key": "tag:amazonei:deployment", "Values": ["demo"]},
                {"Key": "tag:amazonei:accelerator", "Values": ["inf2.xlarge"]},
            ],
            "MaxConcurrency": "10%",
            "MaxErrors": "1",
            "OutputS3BucketName": "bucket",
            "OutputS3KeyPrefix": "runs/1",
        },
    )
    request = CommandRequest(
        document="doc",
        parameters={"Operation": "install"},
        tags={"amazonei:deployment": "demo", "amazonei:accelerator": "inf2.xlarge"},
        delivery_timeout_s=60,
        max_concurrency="10%",
        max_errors="1",
        output_bucket="bucket",
        output_prefix="runs/1",
    )
    assert Ssm(client).send_command(request) == COMMAND


def test_a_command_as_a_whole_is_over_early_when_it_ended_otherwise_than_well(stub: StubService) -> None:
    client, stubber = stub("ssm")
    for status, detail in (("InProgress", "InProgress"), ("Success", "Success"), ("Failed", "RateExceeded")):
        answer = {"Commands": [{"Status": status, "StatusDetails": detail}]}
        stubber.add_response("list_commands", answer, {"CommandId": COMMAND})
    stubber.add_response("list_commands", {"Commands": []}, {"CommandId": COMMAND})
    edge = Ssm(client)
    assert [edge.command(COMMAND).ended_early for _ in range(3)] == [False, False, True]
    with pytest.raises(NotFound):
        edge.command(COMMAND)


def test_codes_and_outputs_come_with_the_list_of_hosts(stub: StubService) -> None:
    client, stubber = stub("ssm")
    plugin = {"ResponseCode": 4, "Output": "out"}
    stubber.add_response(
        "list_command_invocations",
        {
            "CommandInvocations": [
                {"InstanceId": "i-1", "Status": "Failed", "CommandPlugins": [plugin]},
                {"InstanceId": "i-2", "Status": "Cancelled", "StatusDetails": "Terminated"},
            ]
        },
        {"CommandId": COMMAND, "Details": True},
    )
    first, second = Ssm(client).reports(COMMAND)
    assert (first.detail, first.response_code, first.output) == ("Failed", 4, "out")
    assert (second.detail, second.response_code, second.output) == ("Terminated", -1, "")


def test_the_state_on_each_host_is_read_over_all_pages(stub: StubService) -> None:
    client, stubber = stub("ssm")
    stubber.add_response(
        "list_command_invocations",
        {
            "CommandInvocations": [
                {"InstanceId": "i-1", "Status": "TimedOut", "StatusDetails": "Undeliverable"}
            ],
            "NextToken": "2",
        },
        {"CommandId": COMMAND},
    )
    stubber.add_response(
        "list_command_invocations",
        {"CommandInvocations": [{"InstanceId": "i-2", "Status": "InProgress"}]},
        {"CommandId": COMMAND, "NextToken": "2"},
    )
    first, second = Ssm(client).invocations(COMMAND)
    assert (first.detail, first.done) == ("Undeliverable", True)
    assert (second.detail, second.done) == ("InProgress", False)


@pytest.mark.parametrize("status", ["Pending", "InProgress", "Delayed", "Cancelling"])
def test_a_command_that_may_still_change_is_not_done(status: str) -> None:
    assert not InvocationRecord(instance_id="i-1", status=status, detail=status).done


def test_the_output_on_one_host_is_read_and_an_unknown_invocation_is_not_found(stub: StubService) -> None:
    client, stubber = stub("ssm")
    asked = {"CommandId": COMMAND, "InstanceId": "i-1"}
    stubber.add_response(
        "get_command_invocation",
        {
            "Status": "Failed",
            "StatusDetails": "Failed",
            "ResponseCode": 4,
            "StandardOutputContent": "out",
            "StandardErrorContent": "err",
        },
        asked,
    )
    stubber.add_client_error("get_command_invocation", "InvocationDoesNotExist", "", 400, None, asked)
    edge = Ssm(client)
    output = edge.invocation(COMMAND, "i-1")
    assert (output.response_code, output.stdout, output.stderr) == (4, "out", "err")
    with pytest.raises(NotFound) as caught:
        edge.invocation(COMMAND, "i-1")
    assert caught.value.message == "ssm:GetCommandInvocation was answered InvocationDoesNotExist."


def test_registered_hosts_are_asked_for_by_id(stub: StubService) -> None:
    client, stubber = stub("ssm")
    stubber.add_response(
        "describe_instance_information",
        {"InstanceInformationList": [{"InstanceId": "i-12345678", "PingStatus": "ConnectionLost"}]},
        {"Filters": [{"Key": "InstanceIds", "Values": ["i-12345678"]}]},
    )
    (host,) = Ssm(client).managed_hosts(["i-12345678"])
    assert host.ping == "ConnectionLost"


def test_parameters_and_documents_are_read(stub: StubService) -> None:
    client, stubber = stub("ssm")
    stubber.add_response("get_parameter", {"Parameter": {"Value": "ami-1"}}, {"Name": "/aws/service/x"})
    stubber.add_response(
        "describe_parameters",
        {"Parameters": [{"Name": "/p"}]},
        {"ParameterFilters": [{"Key": "tag:amazonei:deployment", "Option": "Equals", "Values": ["demo"]}]},
    )
    stubber.add_response(
        "describe_parameters",
        {"Parameters": [{"Name": "/amazonei/q"}]},
        {"ParameterFilters": [{"Key": "Path", "Option": "Recursive", "Values": ["/amazonei"]}]},
    )
    stubber.add_response(
        "list_documents",
        {"DocumentIdentifiers": [{"Name": "d", "Tags": [{"Key": "a", "Value": "b"}]}, {"Name": "e"}]},
        {"Filters": [{"Key": "Owner", "Values": ["Self"]}]},
    )
    stubber.add_response("cancel_command", {}, {"CommandId": COMMAND})
    edge = Ssm(client)
    assert edge.parameter("/aws/service/x") == "ami-1"
    assert edge.parameters_tagged("amazonei:deployment", "demo") == ("/p",)
    assert edge.parameters_under("/amazonei") == ("/amazonei/q",)
    assert [(document.name, document.tags) for document in edge.own_documents()] == [
        ("d", {"a": "b"}),
        ("e", {}),
    ]
    edge.cancel_command(COMMAND)
