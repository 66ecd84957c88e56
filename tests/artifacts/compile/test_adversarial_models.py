from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from artifacts.archive import open_verified
from artifacts.compile.loading import load_model
from artifacts.compile.pipeline import compile_model
from artifacts.compile.request import CompileRequest, CompileResult
from artifacts.errors import BadRequest, CompileError
from artifacts.serve import handler

if TYPE_CHECKING:
    from collections.abc import Callable

    from artifacts.serve.handler import Handler

MODELS = Path(__file__).parents[1] / "adversarial_models.py"
SIMPLE = MODELS.with_name("sample_models.py")


def _line(text: str) -> str:
    """Return `adversarial_models.py:LINE` of the only line that holds the text."""
    lines = MODELS.read_text(encoding="utf-8").splitlines()
    (number,) = (number for number, line in enumerate(lines, start=1) if text in line)
    return f"adversarial_models.py:{number}"


@pytest.fixture
def compiled(tmp_path: Path) -> Callable[..., CompileResult]:
    def compile_(name: str, spec: str = "x=float32[1,4]", source: Path = MODELS) -> CompileResult:
        request = CompileRequest(
            model=f"{source}:{name}", inputs=(spec,), target="c7i.xlarge", out_dir=tmp_path / "out"
        )
        return compile_model(request, progress=lambda _: None)

    return compile_


@pytest.fixture
def served(compiled: Callable[..., CompileResult], tmp_path: Path) -> Callable[..., Handler]:
    def open_(name: str, spec: str = "x=float32[1,4]", source: Path = MODELS) -> Handler:
        result = compiled(name, spec, source)
        (tmp_path / "unpacked").mkdir()
        with closing(open_verified(result.artifact, expected_digest=result.digest)) as contents:
            contents.unpack(tmp_path / "unpacked")
        return handler.load(tmp_path / "unpacked", threads=1)

    return open_


NEVER_TRIED = (
    torch.tensor([[0.3, -2.0, 0.7, 0.2]]),
    torch.tensor([[-4.0, -2.0, -0.7, -60.0]]),
    torch.tensor([[80.0, 2.0, 0.0, -1.0]]),
    torch.tensor([[3.0, 3.0, 3.0, 3.0]]),
)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("Branch", SIMPLE),
        ("Loop", SIMPLE),
        ("WritesIntoItsInput", SIMPLE),
        ("RareBranch", MODELS),
        ("LoopOverFound", MODELS),
        ("Mixed", MODELS),
        ("BranchAroundUnscriptable", MODELS),
        ("SettlingCache", MODELS),
        ("LeftInTraining", MODELS),
        ("KeepsADevice", MODELS),
        ("PadsToEight", MODELS),
        ("TakesADefault", MODELS),
        ("ChecksItsInput", MODELS),
        ("SeededNoise", MODELS),
    ],
)
def test_what_can_be_compiled_answers_like_the_model_on_inputs_nobody_tried(
    name: str, source: Path, served: Callable[..., Handler]
) -> None:
    host = served(name, source=source)
    model = load_model(f"{source}:{name}").module.eval()
    for x in NEVER_TRIED:
        with torch.no_grad():
            expected = model(x.clone())
        (answer,) = host.predict_batch([{"x": x.clone()}])
        torch.testing.assert_close(answer["output"], expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "reason", "line"),
    [
        ("RareBranchOverPython", "answers differ by", ""),
        ("UnreachableBranch", "erased a decision at", "if float(x[0, 0]) == 0.123456789"),
        ("ListBranch", "erased a decision at", "sum(x.tolist()[0]) > 0"),
        ("NumpyBranch", "erased a decision at", "x.numpy().sum() > 0"),
        ("RememberedOutside", "different answers to the same input", ""),
        ("RunningMean", "RunningMean.mean at", "self.mean = self.mean"),
        ("StuckInTraining", "Dropout, StuckInTraining stays in training mode", ""),
        ("OnAnotherDevice", "CUDA", 'device="cuda"'),
        ("TakesASetting", "forward takes double: bool", "double: bool"),
        ("TakesSomething", "forward takes scale, for which no SPEC is given", "x: torch.Tensor, scale)"),
        ("TakesChoices", "forward takes which: list[int]", "which: list[int]"),
        ("Noise", "draws random numbers with aten.randn_like", "torch.randn_like(x)"),
    ],
)
def test_what_cannot_be_compiled_ends_with_the_reason_and_the_line(
    name: str, reason: str, line: str, compiled: Callable[..., CompileResult]
) -> None:
    with pytest.raises(CompileError) as refused:
        compiled(name)
    assert refused.value.exit_code == 4
    assert reason in refused.value.message
    if line:
        assert _line(line) in f"{refused.value.message} {refused.value.hint}"


def test_inputs_without_names_leave_the_same_argument_out(compiled: Callable[..., CompileResult]) -> None:
    with pytest.raises(CompileError, match="forward takes scale, for which no SPEC is given"):
        compiled("TakesSomething", "float32[1,4]")


def test_a_name_that_forward_does_not_have_is_a_bad_request(compiled: Callable[..., CompileResult]) -> None:
    request = CompileRequest(
        model=f"{MODELS}:TakesSomething",
        inputs=("x=float32[1,4]", "scael=float32[1]"),
        target="c7i.xlarge",
        out_dir=MODELS.parent,
    )
    with pytest.raises(BadRequest, match="it has no scael"):
        compile_model(request, progress=lambda _: None)


def test_the_control_flow_of_a_sub_module_is_scripted_and_the_rest_is_traced(
    compiled: Callable[..., CompileResult],
) -> None:
    result = compiled("Mixed")
    assert result.lane.startswith("mix")
    reasons = {lane.lane: lane.reason for lane in result.lanes}
    assert "iter" in reasons["script"]  # scripting the whole was tried and is not possible
    assert "differ" in reasons["trace"]  # the trace erased the gate


def test_the_rare_side_of_a_branch_is_found_and_the_trace_refused(
    compiled: Callable[..., CompileResult],
) -> None:
    result = compiled("RareBranch")
    assert result.lane.startswith("script")
    assert any("adversarial_models.py:" in warning for warning in result.warnings)


def test_a_request_of_another_size_is_a_bad_request_that_names_both(served: Callable[..., Handler]) -> None:
    host = served("PadsToEight")
    with pytest.raises(BadRequest) as refused:
        host.check({"x": torch.zeros(1, 6)})
    assert "float32[1,6]" in refused.value.message
    assert "x=float32[1,4]" in refused.value.message
