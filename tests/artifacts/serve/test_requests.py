from __future__ import annotations

import dataclasses
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from artifacts.errors import BadRequest
from artifacts.serve.requests import (
    AnyRequest,
    BenchmarkRequest,
    InstallRequest,
    InvokeRequest,
    LogsRequest,
    RollbackRequest,
    StatusRequest,
    StopRequest,
    parse_request,
)
from provisioning.signing import public_part

INSTALL = InstallRequest(
    id="20261121-1",
    artifact_key="artifacts/models/abc.recipe",
    artifact_bytes=10,
    artifact_sha256="0" * 64,
    manifest_digest="1" * 64,
    accelerator="c7i.xlarge",
)

SIGNER = public_part(ec.generate_private_key(ec.SECP256R1()))


@pytest.mark.parametrize(
    "request_",
    [
        INSTALL,
        dataclasses.replace(INSTALL, signer=SIGNER),
        RollbackRequest(id="a", signer=SIGNER),
        InvokeRequest(id="a", body={"random": 3}),
        BenchmarkRequest(id="a", protocol={"mode": "quick"}),
        BenchmarkRequest(id="a", protocol={"mode": "quick"}, sweep=True),
        StatusRequest(id="a"),
        StopRequest(id="a"),
        RollbackRequest(id="a"),
        RollbackRequest(id="a", undoing="2" * 32),
        LogsRequest(id="a", lines=7),
    ],
)
def test_a_request_survives_its_own_json(request_: AnyRequest) -> None:
    assert parse_request(request_.canonical()) == request_


def test_equal_requests_have_equal_digests_and_others_have_not() -> None:
    assert StatusRequest(id="a").digest == StatusRequest(id="a").digest
    assert StatusRequest(id="a").digest != StopRequest(id="a").digest


@pytest.mark.parametrize(
    "change",
    [
        {"operation": "reboot"},
        {"id": "../x"},
        {"artifact_key": "artifacts/models/$(id).aei"},
        {"artifact_key": "other/place"},
        {"artifact_sha256": "0" * 63},
        {"accelerator": "c7i.xlarge; id"},
        {"artifact_bytes": -1},
        {"signer": "-----BEGIN PUBLIC KEY-----"},
        {"extra": 1},
    ],
)
def test_a_request_that_no_tool_of_ours_writes_is_refused(change: dict[str, object]) -> None:
    document = {**json.loads(INSTALL.canonical()), **change}
    with pytest.raises(BadRequest):
        parse_request(json.dumps(document).encode())


@given(st.binary(max_size=200))
def test_bytes_that_are_no_request_never_do_more_than_be_refused(data: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_request(data)
