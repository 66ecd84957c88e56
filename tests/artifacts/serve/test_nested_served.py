"""Tensors inside of one argument, asked for by their paths in every way a model is asked."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import safetensors.torch
import torch

from artifacts.archive import open_verified
from artifacts.compile.inspection import inspect_artifact
from artifacts.compile.pipeline import compile_model
from artifacts.compile.request import CompileRequest, Method
from artifacts.serve import batching, handler
from artifacts.serve.golden import read_golden
from artifacts.serve.links import Code
from artifacts.serve.model_client import ModelClient
from artifacts.serve.requests import InvokeRequest
from artifacts.serve.sagemaker import container
from tests.artifacts import nested_models as models

if TYPE_CHECKING:
    from collections.abc import Callable

    from artifacts.compile.request import CompileResult
    from tests.artifacts.serve.conftest import Machine

NAMES = ["batch.pixels", "batch.mask", "shift"]
REQUEST = {
    "shift": torch.tensor([[0.5, 0.0, -1.0, 2.0]]),
    "batch.pixels": torch.tensor([[1.0, -2.0, 3.0, 0.25]]),
    "batch.mask": torch.tensor([[1, 0, 1, 1]]),
}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> CompileResult:
    inputs = ("shift=float32[1,4]", "batch.pixels=float32[1,4]", "batch.mask=int64[1,4]:0..2")
    request = CompileRequest(
        model=f"{Path(models.__file__)}:TakesADictionary",
        inputs=inputs,
        target="c7i.xlarge",
        out_dir=tmp_path_factory.mktemp("out"),
        method=Method.TRACE,
    )
    return compile_model(request, progress=lambda _: None)


@pytest.fixture(scope="module")
def unpacked(compiled: CompileResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("unpacked")
    with closing(open_verified(compiled.artifact, expected_digest=compiled.digest)) as contents:
        contents.unpack(directory)
    return directory


def expected() -> dict[str, torch.Tensor]:
    batch = {"pixels": REQUEST["batch.pixels"], "mask": REQUEST["batch.mask"]}
    with torch.no_grad():
        answer: dict[str, torch.Tensor] = models.TakesADictionary().eval()(batch, REQUEST["shift"])
    return answer


def as_json(request: dict[str, torch.Tensor]) -> bytes:
    return json.dumps({"inputs": {name: tensor.tolist() for name, tensor in request.items()}}).encode()


def of_json(body: bytes) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(values) for name, values in json.loads(body)["outputs"].items()}


def test_a_worker_answers_json_and_raw_tensors_by_path(unpacked: Path) -> None:
    served = handler.load(unpacked, threads=1)
    raw = safetensors.torch.save(REQUEST)
    bodies = [as_json(REQUEST), raw, raw]  # a layout that was seen before is read another way
    replies = [reply for body in bodies for reply in batching.answer(served, [body])]
    assert [reply.code for reply in replies] == [Code.OK] * 3
    torch.testing.assert_close(of_json(bytes(replies[0].body)), expected(), atol=1e-4, rtol=0)
    for reply in replies[1:]:
        torch.testing.assert_close(safetensors.torch.load(bytes(reply.body)), expected(), atol=1e-4, rtol=0)


def test_a_part_that_is_left_out_is_named(unpacked: Path) -> None:
    served = handler.load(unpacked, threads=1)
    (reply,) = batching.answer(
        served, [as_json({"batch.pixels": torch.ones(1, 4), "shift": torch.ones(1, 4)})]
    )
    assert reply.code is Code.INVALID
    assert b"batch.mask=int64[1,4]" in bytes(reply.body)


def test_the_golden_request_and_the_inspection_have_the_paths(
    compiled: CompileResult, unpacked: Path
) -> None:
    assert sorted(read_golden(unpacked).inputs) == sorted(NAMES)
    assert [spec["name"] for spec in inspect_artifact(compiled.artifact).as_document()["inputs"]] == NAMES


def test_the_container_of_an_endpoint_answers_by_path(unpacked: Path) -> None:
    served = handler.load(unpacked, threads=1)
    bodies = {container.JSON: as_json(REQUEST), container.SAFETENSORS: safetensors.torch.save(REQUEST)}
    for kind, body in bodies.items():
        answer = container.predict(container.read_body(body, kind), served)
        torch.testing.assert_close(answer.outputs, expected(), atol=1e-4, rtol=0)


def test_a_host_serves_it_to_the_client_and_to_invoke(
    compiled: CompileResult, new_machine: Callable[..., Machine]
) -> None:
    machine = new_machine()
    installed = machine.install(compiled.artifact, compiled.digest)
    assert installed.code == 0, installed.steps
    random = machine.send(InvokeRequest(id="random", body={"random": 3}))
    assert random.code == 0, random.document
    with ModelClient.on_host(machine.home) as client:
        answer = client.predict({name: tensor.numpy() for name, tensor in REQUEST.items()})
    found = {name: torch.from_numpy(array.copy()) for name, array in answer.items()}
    torch.testing.assert_close(found, expected(), atol=1e-4, rtol=0)
