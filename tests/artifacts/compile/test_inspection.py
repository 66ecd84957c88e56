from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from artifacts.compile.elastic_inference import crossing_warnings
from artifacts.compile.graph import fused, named_devices
from artifacts.compile.inspection import compare, inspect_artifact
from artifacts.compile.pipeline import compile_model
from artifacts.compile.request import CompileRequest, CompileResult, Method
from artifacts.serve.program import torchscript_expected

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLES = Path(__file__).parents[1] / "sample_models.py"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    def compile_(name: str, spec: str = "x=float32[1,4]", method: Method = Method.SCRIPT) -> Path:
        request = CompileRequest(
            model=f"{SAMPLES}:{name}",
            inputs=(spec,),
            target="c7i.xlarge",
            out_dir=tmp_path_factory.mktemp("inspected"),
            method=method,
        )
        return compile_model(request, progress=lambda _: None).artifact

    return compile_


def test_control_flow_that_was_kept_and_that_a_trace_would_lose_is_told(
    compiled: Callable[..., Path],
) -> None:
    found = inspect_artifact(compiled("Branch", method=Method.AUTO))
    assert found.control_flow == 1
    (lost,) = found.erased
    assert "sample_models.py:37" in lost


def test_two_artifacts_are_told_apart_by_what_differs(
    compiled: Callable[..., Path], two_layers: CompileResult, two_layers_retrained: CompileResult
) -> None:
    one = inspect_artifact(two_layers.artifact)
    difference = compare(one, inspect_artifact(compiled("Branch")))
    assert difference["operators"]["aten::linear"] == [2, 0]
    assert difference["operators"]["prim::If"] == [0, 1]
    assert difference["changed"]["parameters"] == [67, 0]
    retrained = compare(one, inspect_artifact(two_layers_retrained.artifact))
    assert retrained["operators"] == {}
    assert "digest" in retrained["changed"]
    assert compare(one, one) == {"changed": {}, "operators": {}, "same_code": True}


def test_folded_constants_and_fused_operators_are_counted() -> None:
    with torchscript_expected():
        layers = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU()
        ).eval()
        frozen = torch.jit.freeze(torch.jit.script(layers))
        before = fused(frozen.inlined_graph)
        optimised = torch.jit.optimize_for_inference(frozen)  # changes the frozen graph, too
    assert before == {}
    assert sum(fused(optimised.inlined_graph).values()) >= 1


class BoundToADevice(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.zeros(1, device="meta").to("cpu")


def test_a_program_bound_to_a_device_is_told() -> None:
    with torchscript_expected():
        program = torch.jit.script(BoundToADevice())
    assert named_devices(program.inlined_graph) == ("meta",)


class Branchy(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(int(x.sum())):
            if x[0] > 0:
                x = x + 1
            if x[1] > 0:
                x = x * 2
            if x[2] > 0:
                x = x - 1
        return x


@pytest.mark.parametrize(("model", "crossings"), [(Branchy(), 4), (torch.nn.ReLU(), 0)])
def test_a_branchy_script_is_warned_of_before_it_goes_to_elastic_inference(
    model: torch.nn.Module, crossings: int, tmp_path: Path
) -> None:
    with torchscript_expected():
        torch.jit.save(torch.jit.script(model), tmp_path / "program.pt")
    warnings = crossing_warnings(tmp_path / "program.pt")
    assert bool(warnings) is bool(crossings)
    assert all(f"keeps {crossings} branches and loops" in warning for warning in warnings)
