from __future__ import annotations

import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from provisioning.emulator.gate import AccessGate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from provisioning.emulator.state import Running

KEY = "AKIAGATEGATEGATEGATE"
SIGNED = (
    f"AWS4-HMAC-SHA256 Credential={KEY}/20261121/us-west-2/ec2/aws4_request, SignedHeaders=host, Signature=0"
)


def _status(**changes: str) -> str:
    statuses: list[str] = []

    def application(_environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [b"behind the gate"]

    environ = {"HTTP_HOST": "localhost:4567", "PATH_INFO": "/", "QUERY_STRING": ""} | changes
    AccessGate(application, KEY)(environ, lambda status, _headers: statuses.append(status))  # type: ignore[arg-type]
    return statuses[0]


@pytest.mark.parametrize(
    "carried",
    [
        {"HTTP_AUTHORIZATION": SIGNED},
        {"HTTP_AUTHORIZATION": f"AWS {KEY}:signature"},
        {"QUERY_STRING": f"X-Amz-Credential={KEY}%2F20261121%2Fus-west-2%2Fs3%2Faws4_request"},
        {"QUERY_STRING": f"AWSAccessKeyId={KEY}&Signature=0"},
    ],
)
def test_a_request_with_the_access_key_passes(carried: dict[str, str]) -> None:
    assert _status(**carried) == "200 OK"


@pytest.mark.parametrize(
    "carried",
    [
        {},
        {"HTTP_AUTHORIZATION": SIGNED.replace(KEY, "AKIAOTHEROTHEROTHERO")},
        {"HTTP_AUTHORIZATION": SIGNED.replace(KEY, "")},
        {"HTTP_AUTHORIZATION": f"Bearer {KEY}"},
        {"QUERY_STRING": f"key={KEY}"},
        {"HTTP_X_AMZ_SECURITY_TOKEN": KEY},
        {"PATH_INFO": "/moto-api/reset"},
    ],
)
def test_a_request_without_the_access_key_is_refused(carried: dict[str, str]) -> None:
    assert _status(**carried) == "403 Forbidden"


@pytest.mark.parametrize("name", ["attacker.example", "localhost.attacker.example", "", "127.0.0.1.nip.io"])
def test_a_name_that_is_not_this_machine_is_refused_even_with_the_key(name: str) -> None:
    assert _status(HTTP_AUTHORIZATION=SIGNED, HTTP_HOST=name) == "403 Forbidden"
    assert _status(PATH_INFO="/amazonei/health", HTTP_HOST=name) == "403 Forbidden"


@pytest.mark.parametrize(
    ("service", "call", "code"),
    [
        ("ec2", "describe_instances", "AuthFailure"),
        ("ssm", "list_commands", "UnrecognizedClientException"),
        ("sts", "get_caller_identity", "InvalidClientTokenId"),
        ("s3", "list_buckets", "InvalidAccessKeyId"),
    ],
)
def test_foreign_credentials_get_the_refusal_of_the_services_protocol(
    running: Running, service: str, call: str, code: str
) -> None:
    made: Any = boto3.Session("AKIAFOREIGNFOREIGNFO", "x", region_name="us-west-2").client
    with pytest.raises(ClientError) as refused:
        getattr(made(service, endpoint_url=running.endpoint_url), call)()
    assert refused.value.response["Error"]["Code"] == code
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_anonymous_requests_to_s3_are_refused(running: Running) -> None:
    made: Any = boto3.Session(region_name="us-west-2").client
    client = made("s3", endpoint_url=running.endpoint_url, config=Config(signature_version=UNSIGNED))
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        client.list_buckets()


def test_a_web_page_cannot_post_a_command(running: Running) -> None:
    request = urllib.request.Request(  # noqa: S310 (the emulator's own address)
        running.endpoint_url,
        data=b"{}",
        headers={"X-Amz-Target": "AmazonSSM.SendCommand", "Origin": "https://attacker.example"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=5)  # noqa: S310
    with refused.value as answer:
        assert answer.code == 403
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    ("service", "call", "arguments"),
    [
        ("ssm", "list_document_versions", {"Name": "any-document"}),
        ("ec2", "describe_spot_fleet_request_history", {"SpotFleetRequestId": "sfr-1", "StartTime": 0}),
        ("sts", "decode_authorization_message", {"EncodedMessage": "x"}),
    ],
)
def test_what_the_emulator_cannot_do_is_said_once_and_plainly(
    running: Running, service: str, call: str, arguments: dict[str, Any]
) -> None:
    made: Any = boto3.Session(running.access_key, running.secret_key, region_name="us-west-2").client
    with pytest.raises(ClientError, match="The emulator cannot do this") as refused:
        getattr(made(service, endpoint_url=running.endpoint_url), call)(**arguments)
    answer = refused.value.response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == ("NotImplemented", 501)
    assert answer["ResponseMetadata"]["RetryAttempts"] == 0
