"""The package of an endpoint, answered by AWS's own handler code in a process of its own."""

from __future__ import annotations

import ast
import http.client
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors import torch as library

from artifacts.archive import open_verified, pack
from artifacts.errors import ArtifactRefused, BadRequest
from artifacts.manifest import Toolchain
from artifacts.serve.sagemaker.fitness import refuse_older_torch
from artifacts.serve.sagemaker.package import ModelPackage, build_package
from artifacts.serve.sagemaker.tensors import read_safetensors, write_safetensors
from tests.artifacts.manifests import manifest_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from artifacts.compile.request import CompileResult

CONTAINER = Path(__file__).parents[3] / "provisioning" / "emulator" / "inference_container.py"
LOADED_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Container:
    """A process that serves an unpacked package."""

    process: subprocess.Popen[bytes]
    log: Path
    port: Path

    def ready(self) -> bool:
        """Wait until the model is loaded, or the process has ended."""
        deadline = time.monotonic() + LOADED_S
        while time.monotonic() < deadline and self.process.poll() is None and not self.port.exists():
            time.sleep(0.05)
        return self.port.exists()

    def ask(self, body: bytes, content_type: str, accept: str = "") -> tuple[int, str, bytes]:
        headers = {"Content-Type": content_type} | ({"Accept": accept} if accept else {})
        connection = http.client.HTTPConnection("127.0.0.1", int(self.port.read_text()), timeout=60)
        try:
            connection.request("POST", "/invocations", body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers["Content-Type"], answer.read()
        finally:
            connection.close()


def start(package: Path, root: Path, variables: Mapping[str, str]) -> Container:
    """Unpack a package as SageMaker does, and start a container on it."""
    model = root / "base" / "model"
    model.mkdir(parents=True)
    with tarfile.open(package) as tar:
        tar.extractall(model, filter="data")
    log = root / "log"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(root),
        "PYTHONPATH": str(model / "code"),
        "SAGEMAKER_BASE_DIR": str(root / "base"),
        "AMAZONEI_ADDRESS": "127.0.0.1",
        "AMAZONEI_PORT_FILE": str(root / "port"),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", CONTAINER], env={**environment, **variables}, stdout=output, stderr=output
        )
    return Container(process=process, log=log, port=root / "port")


def golden_of(artifact: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return inputs and eager answers of an artifact's golden request."""
    tensors = library.load(open_verified(artifact).read("golden.safetensors"))
    return tuple(  # type: ignore[return-value]
        {name.removeprefix(kind): tensors[name] for name in tensors if name.startswith(kind)}
        for kind in ("input.", "output.")
    )


@pytest.fixture(scope="module")
def package(two_layers: CompileResult, tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return build_package(two_layers.artifact, tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def container(package: ModelPackage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    root = tmp_path_factory.mktemp("container")
    running = start(package.path, root, {"AMAZONEI_MANIFEST_DIGEST": package.manifest.digest})
    assert running.ready(), running.log.read_text()
    yield running
    running.process.kill()
    running.process.wait()


def test_the_same_artifact_gives_the_same_package(two_layers: CompileResult, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    one, two = build_package(two_layers.artifact, first), build_package(two_layers.artifact, second)
    assert one.path.read_bytes() == two.path.read_bytes()
    assert one.key == two.key == f"artifacts/packages/{one.sha256}.tar.gz"


def test_the_package_holds_the_artifact_and_the_code_it_needs(
    package: ModelPackage, two_layers: CompileResult
) -> None:
    with tarfile.open(package.path) as tar:
        names = tar.getnames()
        artifact = tar.extractfile("artifact.aei")
        assert artifact is not None
        assert artifact.read() == two_layers.artifact.read_bytes()
        assert {(entry.mtime, entry.uid, entry.uname) for entry in tar.getmembers()} == {(0, 0, "")}
    assert {"code/inference.py", "code/artifacts/__init__.py", "code/artifacts/archive.py"} <= set(names)
    assert not any("compile" in name for name in names)


def test_the_golden_request_is_answered_as_the_manifest_allows(
    container: Container, package: ModelPackage, two_layers: CompileResult
) -> None:
    inputs, expected = golden_of(two_layers.artifact)
    body = json.dumps({"inputs": {name: tensor.tolist() for name, tensor in inputs.items()}}).encode()
    status, content_type, answer = container.ask(body, "application/json")
    assert (status, content_type) == (200, "application/json")
    for name, tensor in expected.items():
        got = torch.tensor(json.loads(answer)["outputs"][name])
        assert (got - tensor).abs().max() <= package.manifest.atol
    assert f"serving {package.manifest.digest[:12]}" in container.log.read_text()


def test_raw_tensors_go_in_and_come_out(container: Container, two_layers: CompileResult) -> None:
    inputs, expected = golden_of(two_layers.artifact)
    raw = "application/vnd.safetensors"
    status, content_type, answer = container.ask(library.save(inputs), raw, raw)
    assert (status, content_type) == (200, raw)
    assert library.load(answer).keys() == expected.keys()
    buffer = io.BytesIO()
    np.save(buffer, inputs["x"].numpy())
    npy = "application/x-npy"
    status, content_type, array = container.ask(buffer.getvalue(), npy, npy)
    assert (status, content_type) == (200, npy)
    torch.testing.assert_close(
        torch.from_numpy(np.load(io.BytesIO(array))), next(iter(library.load(answer).values()))
    )


@pytest.mark.parametrize(
    ("body", "content_type", "accept", "status", "said"),
    [
        (b"{", "application/json", "", 400, "not JSON"),
        (b'{"inputs": {"x": [[1, 2]]}}', "application/json", "", 400, "expected x=float32[1,4]"),
        (b"\x08\0\0\0\0\0\0\0{}", "application/vnd.safetensors", "", 400, "expected x=float32[1,4]"),
        (b"12345", "application/vnd.safetensors", "", 400, "not safetensors"),
        (b"cos\nsystem\n(S'true'\ntR.", "application/x-npy", "", 400, "not npy"),
        (b"1,2", "text/csv", "", 415, "application/vnd.safetensors"),
        (b'{"inputs": {"x": [[1, 2, 3, 4]]}}', "application/json", "image/png", 406, "image/png"),
    ],
)
def test_a_wrong_request_is_told_what_was_expected(
    container: Container, body: bytes, content_type: str, accept: str, status: int, said: str
) -> None:
    got, _, answer = container.ask(body, content_type, accept)
    assert (got, said in answer.decode()) == (status, True)


def test_a_random_request_is_the_same_for_the_same_seed(container: Container) -> None:
    first, again, other = (
        container.ask(json.dumps({"random": seed}).encode(), "application/json")[2] for seed in (1, 1, 2)
    )
    assert first == again != other


def test_an_artifact_other_than_the_promised_one_is_never_opened(
    package: ModelPackage, tmp_path: Path
) -> None:
    running = start(package.path, tmp_path, {"AMAZONEI_MANIFEST_DIGEST": "0" * 64})
    assert not running.ready()
    assert running.process.wait(LOADED_S) != 0
    assert "not the expected 000000000000" in running.log.read_text()


def test_our_reader_and_the_library_agree_on_every_dtype() -> None:
    tensors = {
        str(dtype).removeprefix("torch."): torch.arange(6).reshape(2, 3).to(dtype)
        for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
                      torch.int16, torch.int8, torch.uint8, torch.bool)
    } | {"empty": torch.empty(0, 4), "scalar": torch.tensor(3.5)}  # fmt: skip
    ours, theirs = read_safetensors(library.save(tensors)), library.load(write_safetensors(tensors))
    for name, tensor in tensors.items():
        assert ours[name].dtype == theirs[name].dtype == tensor.dtype
        assert torch.equal(ours[name], tensor)
        assert torch.equal(theirs[name], tensor)


@pytest.mark.parametrize(
    "header",
    [
        '{"x":{"dtype":"F32","shape":[1,4],"data_offsets":[0,99]}}',
        '{"x":{"dtype":"F32","shape":[1,5],"data_offsets":[0,16]}}',
        '{"x":{"dtype":"F7","shape":[1,4],"data_offsets":[0,16]}}',
        '{"x":{"dtype":"F32","shape":[1,4],"data_offsets":[-16,16]}}',
        "[]",
    ],
)
def test_a_malformed_safetensors_file_is_a_bad_request(header: str) -> None:
    data = len(header).to_bytes(8, "little") + header.encode() + bytes(16)
    with pytest.raises(BadRequest, match="not safetensors"):
        read_safetensors(data)


@pytest.mark.parametrize(
    ("program", "made_with", "there", "fits"),
    [
        ("torchscript", "2.6.0+cpu", "2.6.0", True),
        ("torchscript", "1.13.1", "2.6.0", True),
        ("torchscript", "2.13.0", "2.6.0", False),
        ("torchscript", "2.9.1", "2.9.0", True),
        ("aotinductor", "2.6.0", "2.6.0", True),
        ("aotinductor", "2.6.0", "2.6.1", False),
    ],
)
def test_a_program_opens_where_its_torch_or_a_newer_one_is(
    program: str, made_with: str, there: str, fits: bool
) -> None:
    toolchain = Toolchain(torch=made_with, python="3.11", compiler="torch", compiler_version=made_with)
    manifest = manifest_of(program=program, toolchain=toolchain)
    if fits:
        refuse_older_torch(manifest, there, "the container")
        return
    with pytest.raises(
        ArtifactRefused, match=f"made with torch {made_with}; the container has torch {there}"
    ):
        refuse_older_torch(manifest, there, "the container")


def elastic_inference_package(two_layers: CompileResult, root: Path) -> ModelPackage:
    """Return the package the same program would have for Elastic Inference."""
    contents = open_verified(two_layers.artifact)
    manifest = replace(contents.manifest, program="torchscript-eia", target="eia2.medium", lane="eia")
    for file in manifest.files:
        (root / file.path).write_bytes(contents.read(file.path))
    artifact = pack(manifest, {file.path: root / file.path for file in manifest.files}, root / "out")
    return build_package(artifact, root)


def test_elastic_inference_gets_model_pt_and_code_for_its_old_python(
    two_layers: CompileResult, tmp_path: Path
) -> None:
    package = elastic_inference_package(two_layers, tmp_path)
    with tarfile.open(package.path) as tar:
        assert tar.getnames() == ["model.pt", "code/inference.py", "code/expected.json"]
        program, entry = tar.extractfile("model.pt"), tar.extractfile("code/inference.py")
        assert program is not None
        assert program.read() == open_verified(two_layers.artifact).read("program.pt")
        assert entry is not None
        ast.parse(entry.read(), feature_version=(3, 6))


@pytest.mark.nightly
def test_an_elastic_inference_package_answers_where_its_accelerator_is_announced(
    two_layers: CompileResult, tmp_path: Path
) -> None:
    package = elastic_inference_package(two_layers, tmp_path)
    variables = {
        "SAGEMAKER_INFERENCE_ACCELERATOR_PRESENT": "true",
        "AMAZONEI_MANIFEST_DIGEST": package.manifest.digest,
    }
    running = start(package.path, tmp_path / "run", variables)
    try:
        assert running.ready(), running.log.read_text()
        inputs, expected = golden_of(two_layers.artifact)
        bare = json.dumps(inputs["x"].tolist()).encode()
        named = json.dumps({"inputs": {"x": inputs["x"].tolist()}}).encode()
        for body in (bare, named):
            status, _, answer = running.ask(body, "application/json")
            assert status == 200
            for name, tensor in expected.items():
                got = torch.tensor(json.loads(answer)["outputs"][name])
                torch.testing.assert_close(got, tensor, atol=package.manifest.atol, rtol=0)
        status, _, answer = running.ask(b"[1, 2]", "application/json")
        assert (status, b"expected (x=float32[1, 4])" in answer) == (400, True)
    finally:
        running.process.kill()
        running.process.wait()
