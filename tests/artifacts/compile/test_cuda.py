from __future__ import annotations

import pytest
import torch

from artifacts.compile.cuda import LANES, CudaLane, missing_gpu, recorded
from artifacts.compile.request import CompileRequest
from artifacts.compile.subject import prepare_subject
from artifacts.errors import ToolchainMissing
from artifacts.serve.program import CUDA_GRAPH, PREPARATIONS
from artifacts.specs import TensorSpec

INPUTS = (TensorSpec(name="x", dtype="float32", shape=(1, 4)),)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_target_is_refused_with_the_reason(tmp_path: pytest.TempPathFactory) -> None:
    from pathlib import Path

    from artifacts.compile.pipeline import compile_model

    request = CompileRequest(
        model="nowhere.py:f", inputs=("float32[1]",), target="g5.xlarge", out_dir=Path(str(tmp_path))
    )
    with pytest.raises(ToolchainMissing, match=r"No lane for g5\.xlarge can be made here") as missing:
        compile_model(request, lambda _: None)
    assert missing_gpu() in missing.value.message


def test_every_lane_has_a_preparation_that_hosts_know() -> None:
    assert {lane.preparation for lane in LANES} <= PREPARATIONS
    assert {(lane.half, lane.preparation == CUDA_GRAPH) for lane in LANES} == {
        (half, graph) for half in (False, True) for graph in (False, True)
    }


@pytest.mark.parametrize("lane", [CudaLane("fp32", half=False, preparation="cuda")])
def test_the_recording_answers_in_the_types_of_eager(lane: CudaLane) -> None:
    torch.manual_seed(0)
    subject = prepare_subject(torch.nn.Linear(4, 3), INPUTS)
    module = recorded(lane, subject, (torch.ones(1, 4),), device="cpu")
    x = torch.randn(1, 4)
    torch.testing.assert_close(list(module(x)), subject.run({"x": x}))
