from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from provisioning.aws import Credentials
from provisioning.aws import connect as open_aws
from provisioning.commands import HostCommand, run_on_hosts
from provisioning.emulator import processes
from provisioning.waiting import SystemClock
from tests.provisioning.emulator.emulated import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from provisioning.emulator.state import Running
    from tests.provisioning.emulator.emulated import Emulated

HOSTILE = (
    *("; touch {0}", "&& touch {0}", "| touch {0}", "|| touch {0}", "& touch {0} &", "\ntouch {0}\n"),
    *("$(touch {0})", "`touch {0}`", "${{IFS}}touch${{IFS}}{0}", "$((`touch {0}`))", "<(touch {0})"),
    *("' ; touch {0} ; '", '" ; touch {0} ; "', "'\"; touch {0} #", "\\'; touch {0}", '"$(touch {0})"'),
    *("\r\ntouch {0}\r\n", "\ttouch {0}", "#\ntouch {0}", "*; touch {0}", "~; touch {0}", "> {0}", ">> {0}"),
    *("{{{{ Value }}}}; touch {0}", "{{{{Value}}}}", "$SSM_Value; touch {0}", "${{SSM_Value@P}}$(touch {0})"),
    *("eval touch {0}", "exec touch {0}", "trap 'touch {0}' EXIT", "sh -c 'touch {0}'", "(touch {0})"),
    *("{{ touch {0}; }}", "if :; then touch {0}; fi", "case x in *) touch {0};; esac", "\\\ntouch {0}"),
    *(
        "EOF\ntouch {0}\nEOF",
        "<<EOF\n$(touch {0})\nEOF",
        "%s$(touch {0})",
        "\\x24(touch {0})",
        "\\044(touch {0})",
    ),
    *("\u2028touch {0}", "\uff1btouch {0}", "\u037etouch {0}", "a\x07; touch {0}", "\x1b]0;touch {0}\x07"),
    *(
        "-n $(touch {0})",
        "--help; touch {0}",
        "!touch {0}",
        "^x^touch {0}",
        "x=$(touch {0})",
        "'$(touch {0})'",
    ),
)


@pytest.fixture(scope="module")
def document(aws: Emulated) -> Iterator[str]:
    content = {
        "schemaVersion": "2.2",
        "parameters": {
            "Value": {"type": "String", "interpolationType": "ENV_VAR", "default": "quiet"},
            "Digest": {
                "type": "String",
                "interpolationType": "ENV_VAR",
                "default": "0",
                "allowedPattern": "^[0-9a-f]+$",
            },
            "Operation": {"type": "String", "default": "status", "allowedValues": ["status", "stop"]},
            "ExecutionTimeout": {"type": "String", "default": "60", "allowedPattern": "^[1-9][0-9]*$"},
        },
        "mainSteps": [
            {
                "action": "aws:runShellScript",
                "name": "answer",
                "precondition": {"StringEquals": ["platformType", "Linux"]},
                "inputs": {
                    "timeoutSeconds": "{{ ExecutionTimeout }}",
                    "runCommand": ['printf "%s" "$SSM_Value"', ": {{ Value }}", "echo {{ Operation }} >&2"],
                },
            }
        ],
    }
    text = json.dumps(content)
    aws.ssm.create_document(Name="answering", Content=text, DocumentType="Command", DocumentFormat="JSON")
    yield "answering"
    aws.ssm.delete_document(Name="answering")


def _send(aws: Emulated, host: str, document: str, **parameters: str) -> dict[str, Any]:
    listed = {name: [value] for name, value in parameters.items()}
    return aws.run(host, DocumentName=document, Parameters=listed)


def test_a_command_runs_and_reports_its_own_code_and_output(aws: Emulated, host: str) -> None:
    answer = aws.run(host, "echo out", "echo err >&2", "exit 3")
    assert (answer["Status"], answer["StatusDetails"], answer["ResponseCode"]) == ("Failed", "Failed", 3)
    assert (answer["StandardOutputContent"], answer["StandardErrorContent"]) == ("out\n", "err\n")
    answer = aws.run(host, "true")
    assert (answer["Status"], answer["ResponseCode"]) == ("Success", 0)


def test_a_command_that_runs_too_long_is_killed_with_its_children(aws: Emulated, host: str) -> None:
    answer = aws.run(host, "sleep 300 &", "echo $!", "wait", timeout_s=1)
    assert (answer["Status"], answer["StatusDetails"]) == ("TimedOut", "ExecutionTimedOut")
    assert answer["ResponseCode"] == 137
    assert processes.find(int(answer["StandardOutputContent"])) is None


def test_commands_of_one_host_run_one_after_the_other(aws: Emulated, host: str, tmp_path: Path) -> None:
    gate, log = tmp_path / "gate", tmp_path / "log"
    first = aws.send(host, f"until test -e {gate}; do :; done", f"echo first >> {log}")
    second = aws.send(host, f"echo second >> {log}")
    eventually(
        lambda: aws.ssm.get_command_invocation(CommandId=first, InstanceId=host)["Status"] == "InProgress"
    )
    waiting = aws.ssm.get_command_invocation(CommandId=second, InstanceId=host)
    assert (waiting["Status"], waiting["ResponseCode"]) == ("Pending", -1)
    gate.touch()
    aws.answer(second, host)
    assert log.read_text() == "first\nsecond\n"


def test_cancelling_ends_the_running_command_and_keeps_the_waiting_one_from_starting(
    aws: Emulated, host: str, tmp_path: Path
) -> None:
    running = aws.send(host, "sleep 300")
    waiting = aws.send(host, f"touch {tmp_path}/canary")
    eventually(
        lambda: aws.ssm.get_command_invocation(CommandId=running, InstanceId=host)["Status"] == "InProgress"
    )
    aws.ssm.cancel_command(CommandId=waiting)
    aws.ssm.cancel_command(CommandId=running, InstanceIds=[host])
    assert [aws.answer(each, host)["Status"] for each in (running, waiting)] == ["Cancelled", "Cancelled"]
    assert aws.run(host, "true")["Status"] == "Success"
    assert not (tmp_path / "canary").exists()


def test_what_was_sent_to_a_terminated_host_is_undeliverable(aws: Emulated) -> None:
    doomed = aws.await_online(aws.launch())
    sent = [aws.send(doomed, "sleep 300"), aws.send(doomed, "true")]
    aws.ec2.terminate_instances(InstanceIds=[doomed])
    answers = [aws.answer(each, doomed) for each in sent]
    assert {(each["Status"], each["StatusDetails"]) for each in answers} == {("Failed", "Undeliverable")}


def test_no_hostile_value_of_an_env_var_parameter_is_executed(
    aws: Emulated, host: str, document: str, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    values = [text.format(canary) for text in HOSTILE]
    assert len(values) >= 50
    sent = [aws.send(host, DocumentName=document, Parameters={"Value": [value]}) for value in values]
    answers = [aws.answer(command, host) for command in sent]
    assert [each["StandardOutputContent"] for each in answers] == values
    assert not canary.exists()


def test_other_parameters_are_put_into_the_text(aws: Emulated, host: str, document: str) -> None:
    answer = _send(aws, host, document, Operation="stop")
    assert (answer["StandardOutputContent"], answer["StandardErrorContent"]) == ("quiet", "stop\n")


@pytest.mark.parametrize(
    "parameters",
    [
        {"Unknown": "x"},
        {"Digest": "0g"},
        {"Digest": "00\n"},
        {"Digest": "00; touch x"},
        {"Operation": "install"},
        {"ExecutionTimeout": "0"},
    ],
)
def test_values_the_document_does_not_allow_are_refused(
    aws: Emulated, host: str, document: str, parameters: dict[str, str]
) -> None:
    with pytest.raises(ClientError, match="InvalidParameters"):
        _send(aws, host, document, **parameters)


def test_the_documents_own_time_limit_holds(aws: Emulated, host: str) -> None:
    content = {
        "schemaVersion": "2.2",
        "parameters": {"ExecutionTimeout": {"type": "String", "default": "1"}},
        "mainSteps": [
            {
                "action": "aws:runShellScript",
                "name": "slow",
                "inputs": {"timeoutSeconds": "{{ExecutionTimeout}}", "runCommand": ["sleep 300"]},
            }
        ],
    }
    aws.ssm.create_document(Name="slow", Content=json.dumps(content), DocumentType="Command")
    began = time.monotonic()
    assert aws.run(host, DocumentName="slow", Parameters={})["Status"] == "TimedOut"
    assert time.monotonic() - began < 10
    aws.ssm.delete_document(Name="slow")


def test_output_is_cut_where_the_api_documents_it(aws: Emulated, host: str) -> None:
    answer = aws.run(host, "head -c 30000 /dev/zero | tr '\\0' o", "head -c 30000 /dev/zero | tr '\\0' e >&2")
    assert len(answer["StandardOutputContent"]) == 24_000
    assert len(answer["StandardErrorContent"]) == 8_000


def test_whole_output_goes_to_the_bucket_in_the_agents_layout(aws: Emulated, host: str) -> None:
    aws.s3.create_bucket(
        Bucket="command-output", CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
    )
    command = aws.send(
        host,
        "head -c 30000 /dev/zero | tr '\\0' o",
        OutputS3BucketName="command-output",
        OutputS3KeyPrefix="results/1",
    )
    answer = aws.answer(command, host)
    key = f"results/1/{command}/{host}/awsrunShellScript/0.awsrunShellScript/stdout"
    assert answer["StandardOutputUrl"] == f"https://s3.us-west-2.amazonaws.com/command-output/{key}"
    assert aws.s3.get_object(Bucket="command-output", Key=key)["Body"].read() == b"o" * 30_000


def test_our_commands_tell_the_end_of_an_error_output_that_is_cut(
    aws: Emulated, host: str, running: Running
) -> None:
    aws.s3.create_bucket(Bucket="whole", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    keys = Credentials(access_key=running.access_key, secret_key=running.secret_key)
    command = HostCommand(
        document="AWS-RunShellScript",
        parameters={"commands": "seq 30000 >&2; exit 3"},
        tags={"role": "shared", "team": "red"},
        delivery_timeout_s=60,
        execution_timeout_s=60,
        output_bucket="whole",
        output_prefix="results/1/output",
    )
    (outcome,) = run_on_hosts(
        open_aws("us-west-2", endpoint_url=running.endpoint_url, credentials=keys),
        command,
        on_progress=lambda _: None,
        on_host=lambda *_: None,
        clock=SystemClock(),
    )
    assert (outcome.instance_id, outcome.response_code) == (host, 3)
    assert outcome.stderr.splitlines()[-1] == "30000"
    assert len(outcome.stderr) == 64 * 1024


def test_targets_are_hosts_that_carry_every_tag(aws: Emulated, host: str) -> None:
    other = aws.await_online(aws.launch(tags={"role": "shared", "team": "blue"}))
    parameters = {"commands": ["true"]}
    role, team = {"Key": "tag:role", "Values": ["shared"]}, {"Key": "tag:team", "Values": ["red", "green"]}
    both = aws.ssm.send_command(DocumentName="AWS-RunShellScript", Targets=[role], Parameters=parameters)
    one = aws.ssm.send_command(DocumentName="AWS-RunShellScript", Targets=[role, team], Parameters=parameters)
    listed = [
        {
            each["InstanceId"]
            for each in aws.ssm.list_command_invocations(CommandId=sent)["CommandInvocations"]
        }
        for sent in (both["Command"]["CommandId"], one["Command"]["CommandId"])
    ]
    assert listed == [{host, other}, {host}]
    nobody = aws.ssm.send_command(
        DocumentName="AWS-RunShellScript",
        Targets=[{"Key": "tag:role", "Values": ["none"]}],
        Parameters=parameters,
    )["Command"]
    assert (nobody["TargetCount"], nobody["StatusDetails"]) == (0, "NoInstancesInTag")
    aws.ec2.terminate_instances(InstanceIds=[other])


def test_commands_are_listed_page_by_page_with_their_plugins(aws: Emulated, host: str) -> None:
    sent = [aws.send(host, f"echo {number}") for number in range(3)]
    aws.answer(sent[-1], host)
    pages = aws.ssm.get_paginator("list_command_invocations").paginate(
        InstanceId=host, Details=True, PaginationConfig={"PageSize": 2}
    )
    found = [each for page in pages for each in page["CommandInvocations"]]
    assert [each["CommandId"] for each in found[:3]] == sent[::-1]
    assert found[0]["CommandPlugins"][0]["Output"] == "2\n"
    command = aws.ssm.list_commands(CommandId=sent[0])["Commands"][0]
    assert (command["Status"], command["CompletedCount"], command["ErrorCount"]) == ("Success", 1, 0)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"DocumentName": "absent"}, "InvalidDocument"),
        ({"InstanceIds": ["i-0123456789abcdef0"]}, "InvalidInstanceId"),
    ],
)
def test_what_does_not_exist_cannot_be_sent_to(
    aws: Emulated, host: str, changes: dict[str, Any], code: str
) -> None:
    wanted = {
        "DocumentName": "AWS-RunShellScript",
        "InstanceIds": [host],
        "Parameters": {"commands": ["true"]},
    }
    with pytest.raises(ClientError) as refused:
        aws.ssm.send_command(**wanted | changes)
    assert refused.value.response["Error"]["Code"] == code
