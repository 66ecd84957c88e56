from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from artifacts.compile.loading import load_model
from artifacts.compile.pipeline import compile_model
from artifacts.compile.request import CompileRequest, Method
from artifacts.serve.requests import InvokeRequest, StatusRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.artifacts.serve.conftest import Machine

MODEL = f"{Path(__file__).parents[1] / 'sized_models.py'}:Rows"


def test_a_host_proves_every_bucket_answers_sizes_in_between_and_names_the_limit(
    new_machine: Callable[..., Machine], tmp_path: Path
) -> None:
    request = CompileRequest(
        model=MODEL, inputs=("x=float32[1|4,4]",), target="c7i.xlarge", out_dir=tmp_path, method=Method.TRACE
    )
    result = compile_model(request, progress=lambda _: None)
    machine = new_machine()
    installed = machine.install(result.artifact, result.digest)
    assert installed.code == 0, installed.steps
    assert machine.send(StatusRequest(id="status")).document["serving"]["batch"] == 4
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    answer = machine.send(InvokeRequest(id="three", body={"inputs": {"x": x.tolist()}}))
    expected = load_model(MODEL).module(x)
    found = torch.tensor(answer.document["response"]["outputs"]["output"])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    refused = machine.send(InvokeRequest(id="five", body={"inputs": {"x": [[0.0] * 4] * 5}}))
    assert refused.code == 2
    assert "x is float32[5,4]; expected x=float32[1..4,4]" in refused.document["error"]["message"]
