"""A model goes to a host, is compiled by the SDK that is there, and comes back as what it is."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from artifacts import archive
from artifacts.compile.request import CompileRequest, Method
from artifacts.errors import ArtifactRefused, BadRequest, CompileError, ToolchainMissing
from artifacts.serve.building import compile_here
from artifacts.serve.installation import Host
from artifacts.serve.requests import CompileOnHostRequest, parse_request
from artifacts.serve.settings import HostSettings
from artifacts.serve.storage import Storage
from artifacts.serve.supervision import ProcessSupervisor
from provisioning import remote_compiling
from provisioning.aws.s3 import S3, ObjectRecord
from provisioning.deployment import Deployment
from provisioning.errors import NotFound
from provisioning.remote_compiling import compile_on_host
from tests.artifacts.compile.planted import plant_sdk
from tests.artifacts.serve.conftest import Machine
from tests.provisioning.operated import World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from provisioning.operations import HostCalls, Operation

MODEL = """\
import os, torch
from models.scales import HALF

def net():
    return torch.nn.Sequential(torch.nn.Linear(4, 2), Scale())

class Scale(torch.nn.Module):
    def forward(self, x):
        return x * HALF

def killer():
    os.kill(os.getpid(), 9)

def sleeper():
    import time
    time.sleep(600)
"""


class FolderS3(S3):
    """The bucket that a machine in a folder reads and writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes: dict[str, Mapping[str, str]] = {}
        self.sent: list[str] = []

    def head_object(self, bucket: str, key: str) -> ObjectRecord | None:
        path = self.folder / key
        if not path.is_file():
            return None
        return ObjectRecord(key=key, size=path.stat().st_size, metadata=self.notes.get(key, {}))

    def put_object_if_absent(self, bucket: str, key: str, body: bytes) -> bool:
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        self.sent.append(key)
        return True

    def upload_file(
        self,
        path: Path,
        bucket: str,
        key: str,
        on_bytes: Callable[[int], None] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.put_object_if_absent(bucket, key, path.read_bytes())
        self.notes[key] = dict(metadata or {})

    def download_file(self, bucket: str, key: str, path: Path) -> None:
        if not (self.folder / key).is_file():
            raise NotFound(f"no {key}")
        shutil.copy(self.folder / key, path)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    machine = Machine(root=tmp_path_factory.mktemp("host"), address="127.84.0.1", accelerator="inf2.xlarge")
    machine.prepare()
    return machine


@pytest.fixture
def with_sdk(machine: Machine) -> Machine:
    """The same host, whose Python has the double of torch_neuronx."""
    if not (machine.home / "venv").exists():
        plant_sdk(machine.home / "venv")
    return machine


@pytest.fixture
def calls(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> HostCalls:
    """A deployment of that one host, asked without Systems Manager between."""
    world = World()
    world.declared.ec2.hosts.clear()
    world.declared.ec2.declare_host(
        "i-0", {"amazonei:deployment": "demo", "amazonei:accelerator": "inf2.xlarge"}
    )
    calls = world.with_hosts()
    calls.aws.s3 = FolderS3(machine.root / "bucket")

    def ask(calls: HostCalls, _accelerator: str, operation: Operation) -> Mapping[str, dict[str, Any]]:
        response = machine.send(parse_request(operation.request.canonical()))
        assert response.document.get("ok"), response.document or response.steps
        return {"i-0": response.document}

    monkeypatch.setattr(remote_compiling, "operate", ask)
    return calls


@pytest.fixture
def request_of(tmp_path: Path) -> Callable[[str], CompileRequest]:
    folder = tmp_path / "work" / "models"
    folder.mkdir(parents=True)
    (folder / "net.py").write_text(MODEL)
    (folder / "scales.py").write_text("HALF = 0.5\n")

    def request(name: str) -> CompileRequest:
        return CompileRequest(
            model=f"models/net.py:{name}",
            inputs=("x=float32[1,4]",),
            target="inf2.xlarge",
            out_dir=tmp_path / "out",
            method=Method.TRACE,
        )

    return request


@pytest.fixture(autouse=True)
def working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    return folder


def test_what_an_emulated_hosts_double_made_comes_back_and_says_so(
    with_sdk: Machine, calls: HostCalls, request_of: Callable[[str], CompileRequest]
) -> None:
    result = compile_on_host(calls, request_of("net"))
    assert (result.lane, result.stand_in, result.target) == ("emulated-torch-neuronx", True, "inf2.xlarge")
    assert [lane.lane for lane in result.lanes] == ["emulated-torch-neuronx"]
    assert "of an emulated host" in result.warnings[-1]
    with closing(archive.open_verified(result.artifact, expected_digest=result.digest)) as contents:
        manifest = contents.manifest
    assert manifest.stand_in  # so no host on AWS serves it
    assert manifest.toolchain.compiler_version == "2.9.0.2.15.32035+double+emulated"
    evidence = json.loads(archive.evidence_path(result.artifact).read_text())
    assert evidence["machine"]["instance_id"] == "i-0"
    assert not list(with_sdk.home.glob(".compile-*"))

    sent = calls.aws.s3
    assert isinstance(sent, FolderS3)
    keys = [key.split("/")[1] for key in sent.sent]
    assert sorted(keys) == ["bundles", "sources"]


@pytest.mark.nightly
def test_a_host_without_the_sdk_ends_with_the_line_that_installs_it(
    machine: Machine, calls: HostCalls, request_of: Callable[[str], CompileRequest]
) -> None:
    if (machine.home / "venv").exists():
        shutil.rmtree(machine.home / "venv")
    with pytest.raises(ToolchainMissing, match="torch_neuronx is not installed") as caught:
        compile_on_host(calls, request_of("net"))
    assert caught.value.exit_code == 4
    assert "pip install --extra-index-url=" in caught.value.hint
    assert not list(request_of("net").out_dir.iterdir())


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("model", "limit_s", "said"), [("killer", 300, "signal 9"), ("sleeper", 15, "time limit of 15 s")]
)
def test_a_compiler_that_dies_or_does_not_end_is_an_error_of_the_compile(
    with_sdk: Machine,
    calls: HostCalls,
    request_of: Callable[[str], CompileRequest],
    model: str,
    limit_s: int,
    said: str,
) -> None:
    with pytest.raises(CompileError, match=said):
        compile_on_host(calls, request_of(model), timeout_s=limit_s)
    assert not with_sdk.processes()


def test_an_artifact_that_was_replaced_in_the_bucket_is_refused(
    calls: HostCalls,
    request_of: Callable[[str], CompileRequest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    s3 = calls.aws.s3
    s3.put_object_if_absent("box", "results/x/i-0.aei", b"something else")
    response = {
        "instance_id": "i-0",
        "compiled": {"ok": True, "digest": "d" * 64},
        "artifact": {"key": "results/x/i-0.aei", "bytes": 14, "sha256": "5" * 64},
    }
    monkeypatch.setattr(remote_compiling, "operate", lambda *_: {"i-0": response})
    with pytest.raises(ArtifactRefused, match="not the one that i-0 made"):
        compile_on_host(calls, request_of("net"))
    assert not list(request_of("net").out_dir.iterdir())


def test_a_deployment_without_the_target_says_what_it_has(
    calls: HostCalls, request_of: Callable[[str], CompileRequest]
) -> None:
    deployment = calls.deployment
    assert isinstance(deployment, Deployment)
    with pytest.raises(BadRequest, match=r"has no trn1\.2xlarge host") as caught:
        compile_on_host(calls, replace(request_of("net"), target="trn1.2xlarge"))
    assert "inf2.xlarge" in caught.value.hint


@pytest.fixture
def asked() -> CompileOnHostRequest:
    return CompileOnHostRequest(
        id="a",
        instance_id="i-0",
        accelerator="inf2.xlarge",
        code="c" * 64,
        source="",
        timeout_s=10,
        compile={"model": "net"},
    )


def host_in(folder: Path, instance_id: str = "i-0", accelerator: str = "inf2.xlarge") -> Host:
    settings = HostSettings(
        home=folder,
        address="127.0.0.1",
        instance_id=instance_id,
        accelerator=accelerator,
        emulated=True,
        python=sys.executable,
    )
    return Host(
        settings=settings,
        storage=Storage("nowhere"),
        supervisor=ProcessSupervisor(folder, folder),
        progress=lambda _: None,
    )


def test_of_a_fleet_one_host_compiles(tmp_path: Path, asked: CompileOnHostRequest) -> None:
    assert compile_here(host_in(tmp_path, instance_id="i-1"), asked) == {"compiled": None}
    with pytest.raises(ArtifactRefused, match=r"this host is trn1\.2xlarge"):
        compile_here(host_in(tmp_path, accelerator="trn1.2xlarge"), asked)


def test_a_request_to_compile_survives_its_own_json(asked: CompileOnHostRequest) -> None:
    assert parse_request(asked.canonical()) == asked
