from __future__ import annotations

import copy
import io
import zipfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from artifacts.archive import evidence_path, open_verified
from artifacts.compile.pipeline import compile_model
from artifacts.compile.request import CompileRequest, CompileResult, Method
from artifacts.compile.subject import prepare_subject
from artifacts.compile.torchscript import freeze, save, trace
from artifacts.errors import BadRequest, CompileError, ToolchainMissing, VerificationFailed
from artifacts.serve import handler
from artifacts.serve.golden import read_golden
from artifacts.serve.program import load_program
from artifacts.serve.sampling import sample
from artifacts.specs import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from artifacts.serve.handler import Handler

Compile = "Callable[..., CompileResult]"


@pytest.fixture
def compiled(tmp_path: Path, model_of: Callable[[str], str]) -> Callable[..., CompileResult]:
    def compile_(name: str, *inputs: str, **options: object) -> CompileResult:
        asked = {"target": "c7i.xlarge", "out_dir": tmp_path, **options}
        request = CompileRequest(model=model_of(name), inputs=inputs or ("x=float32[1,4]",), **asked)  # type: ignore[arg-type]
        return compile_model(request, progress=lambda _: None)

    return compile_


def _open(result: CompileResult, directory: Path) -> Handler:
    target = directory / "unpacked"
    target.mkdir()
    with closing(open_verified(result.artifact, expected_digest=result.digest)) as contents:
        contents.unpack(target)
    return handler.load(target, threads=1)


def test_an_artifact_answers_like_the_model(two_layers: CompileResult, tmp_path: Path) -> None:
    served = _open(two_layers, tmp_path)
    golden = read_golden(tmp_path / "unpacked")
    (answer,) = served.predict_batch([golden.inputs])
    torch.testing.assert_close(answer, golden.outputs)
    assert two_layers.parity.passed
    assert two_layers.parity.inputs_checked == 6


def test_nothing_of_this_machine_is_in_the_artifact(two_layers: CompileResult) -> None:
    with closing(open_verified(two_layers.artifact)) as contents:
        program = contents.read("program.pt")
    with zipfile.ZipFile(io.BytesIO(program)) as records:
        text = b"".join(records.read(name) for name in records.namelist())
    assert b"Flat" in text  # classes are named, whichever lane won, but not the files they stand in
    assert str(Path(__file__).parents[1]).encode() not in text


def test_the_evidence_lies_beside_the_artifact(two_layers: CompileResult) -> None:
    text = evidence_path(two_layers.artifact).read_text(encoding="utf-8")
    assert '"cpu_capability"' in text
    assert {lane.lane for lane in two_layers.lanes} >= {"eager", "trace", "trace+freeze"}
    assert all(lane.ms is not None and lane.ms > 0 for lane in two_layers.lanes)


def test_a_branch_survives_because_script_replaces_the_trace(
    compiled: Callable[..., CompileResult], tmp_path: Path
) -> None:
    result = compiled("Branch")
    assert result.lane.startswith("script")
    assert any("sample_models.py:" in warning for warning in result.warnings)
    served = _open(result, tmp_path)
    for sign in (1.0, -1.0):
        x = torch.full((1, 4), sign)
        (answer,) = served.predict_batch([{"x": x}])
        torch.testing.assert_close(answer["output"], x * 2 if sign > 0 else x - 1)


def test_a_trace_that_erased_a_branch_is_refused_with_the_line(
    compiled: Callable[..., CompileResult],
) -> None:
    with pytest.raises(CompileError, match="answers differ by") as refused:
        compiled("Branch", method=Method.TRACE)
    line = next(
        number
        for number, text in enumerate(_sample_source().splitlines(), start=1)
        if "if x.sum() > 0" in text
    )
    assert f"sample_models.py:{line}" in refused.value.hint


def test_an_erased_branch_that_cannot_be_scripted_is_refused(compiled: Callable[..., CompileResult]) -> None:
    with pytest.raises(VerificationFailed, match="script: Scripting failed"):
        compiled("BranchOverPython")


def test_a_loop_whose_length_comes_from_data_is_kept(
    compiled: Callable[..., CompileResult], tmp_path: Path
) -> None:
    served = _open(compiled("Loop"), tmp_path)
    for value in (0.0, 0.3, 2.0):
        x = torch.full((1, 4), value)
        expected = x
        for _ in range(int(x.abs().sum().item()) + 1):
            expected = torch.tanh(expected) + 0.5
        (answer,) = served.predict_batch([{"x": x}])
        torch.testing.assert_close(answer["output"], expected)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("DropoutLeftOn", r"random numbers with aten.bernoulli_.float at .*sample_models.py:63"),
        ("Counter", r"remembers something between calls: Counter.calls at .*sample_models.py:74"),
    ],
)
def test_a_model_that_does_not_repeat_itself_is_refused_with_the_line(
    name: str, reason: str, compiled: Callable[..., CompileResult]
) -> None:
    with pytest.raises(CompileError, match=reason):
        compiled(name)


def test_a_model_may_write_into_its_input(compiled: Callable[..., CompileResult], tmp_path: Path) -> None:
    served = _open(compiled("WritesIntoItsInput"), tmp_path)
    (answer,) = served.predict_batch([{"x": torch.ones(1, 4)}])
    torch.testing.assert_close(answer["output"], torch.full((1, 4), 4.0))


def test_inputs_are_bound_by_name_and_dictionaries_keep_their_keys(
    compiled: Callable[..., CompileResult], tmp_path: Path
) -> None:
    result = compiled("DictionaryOut", "right=float32[2]", "left=float32[2]")
    served = _open(result, tmp_path)
    left, right = torch.tensor([5.0, 6.0]), torch.tensor([1.0, 2.0])
    (answer,) = served.predict_batch([{"right": right, "left": left}])
    torch.testing.assert_close(answer["difference"], left - right)
    torch.testing.assert_close(answer["total"], left + right)


@pytest.mark.parametrize(
    ("inputs", "part"),
    [
        (("left=float32[2]",), "no SPEC is given for right"),
        (("left=float32[2]", "rigth=float32[2]"), "it has no rigth"),
    ],
)
def test_inputs_that_do_not_fit_forward_are_a_bad_request(
    inputs: tuple[str, ...], part: str, compiled: Callable[..., CompileResult]
) -> None:
    with pytest.raises(BadRequest, match=part):
        compiled("DictionaryOut", *inputs)


class Levels(torch.nn.Module):
    """Answers as a pyramid of features does, and with names that only differ in a sign."""

    def forward(self, x: torch.Tensor) -> dict[str, Any]:
        return {"0": x, "pool": x + 1, "a-b": x + 2, "a_b": x + 3, "a": {"b": x + 4}, "k" * 200: x + 5}


def test_every_output_has_a_name_that_a_manifest_takes() -> None:
    subject = prepare_subject(Levels(), (TensorSpec(name="x", dtype="float32", shape=(1,)),))
    names = [spec.name for spec in subject.outputs]
    assert names == ["output0", "pool", "a_b", "a_b_2", "a_b_3", "k" * 80]
    assert [TensorSpec.from_document(spec.as_document()) for spec in subject.outputs] == list(subject.outputs)


def test_a_model_without_inputs_is_a_bad_request() -> None:
    with pytest.raises(BadRequest, match="no inputs"):
        prepare_subject(torch.nn.Identity(), ())


def test_an_answer_without_tensors_is_a_bad_request(compiled: Callable[..., CompileResult]) -> None:
    with pytest.raises(BadRequest, match="returns a str"):
        compiled("ReturnsText")


def test_a_model_that_raises_is_reported_with_its_line(compiled: Callable[..., CompileResult]) -> None:
    with pytest.raises(CompileError, match="this model never worked") as refused:
        compiled("Broken")
    assert "sample_models.py:" in refused.value.hint


def test_the_users_module_is_not_touched() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.5))
    before = copy.deepcopy(module.state_dict())
    subject = prepare_subject(module, (TensorSpec(name="input0", dtype="float32", shape=(1, 2)),))
    assert module.training
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert not any(part.training for part in subject.flat.modules())
    torch.testing.assert_close(module.state_dict(), before)


class Tied(torch.nn.Module):
    """Its output layer is its embedding, as language models have it."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(6, 3)
        self.head = torch.nn.Linear(3, 6, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.embedding(x))
        return logits


def test_tied_weights_stay_tied_in_the_users_module_and_are_harmless_in_a_program(tmp_path: Path) -> None:
    module = Tied()
    subject = prepare_subject(module, (TensorSpec(name="x", dtype="int64", shape=(1, 4), low=0, high=6),))
    request = sample(subject.inputs, seed=1)
    expected = module.eval()(request["x"])
    program = trace(subject, sample(subject.inputs, seed=0)).module
    save(freeze(program), tmp_path / "program.pt")
    loaded = load_program(tmp_path / "program.pt", "none")
    torch.testing.assert_close(loaded(request["x"])[0], expected)
    assert module.head.weight is module.embedding.weight
    assert module.head.weight.requires_grad


def test_a_stand_in_says_what_it_stands_in_for(compiled: Callable[..., CompileResult]) -> None:
    result = compiled("two_layers", target="inf2.xlarge", stand_in=True)
    assert result.lane == "cpu-stand-in-for-torch-neuronx"
    assert result.stand_in
    with closing(open_verified(result.artifact, target="inf2.xlarge")) as contents:
        assert contents.manifest.stand_in
        assert contents.manifest.toolchain.compiler == "torchscript"


def test_a_cpu_target_needs_no_stand_in(compiled: Callable[..., CompileResult]) -> None:
    assert not compiled("two_layers", stand_in=True, method=Method.TRACE).stand_in


@pytest.mark.parametrize(
    ("target", "package"), [("inf2.xlarge", "torch-neuronx=="), ("inf1.xlarge", "torch-neuron==")]
)
def test_without_the_neuron_sdk_the_install_line_is_given(
    target: str, package: str, compiled: Callable[..., CompileResult]
) -> None:
    with pytest.raises(ToolchainMissing) as missing:
        compiled("two_layers", target=target)
    assert missing.value.exit_code == 4
    assert f"pip install --extra-index-url=https://pip.repos.neuron.amazonaws.com {package}" in (
        missing.value.hint.replace("neuronx-cc==2.27.5334.0 ", "")
    )


def test_elastic_inference_gets_plain_torchscript(compiled: Callable[..., CompileResult]) -> None:
    result = compiled("two_layers", target="eia2.medium", method=Method.TRACE)
    assert [lane.lane for lane in result.lanes] == ["eager", "trace"]
    with closing(open_verified(result.artifact)) as contents:
        assert contents.manifest.program == "torchscript-eia"


def test_another_architecture_gets_no_lane_of_this_machines_instructions(
    compiled: Callable[..., CompileResult],
) -> None:
    result = compiled("two_layers", target="c7g.xlarge", method=Method.TRACE)
    assert "trace+freeze+optimize" not in {lane.lane for lane in result.lanes}


def test_convolutions_are_optimised_after_loading_and_still_agree(
    compiled: Callable[..., CompileResult],
) -> None:
    result = compiled("Convolution", "float32[1,3,8,8]")
    optimised = [lane for lane in result.lanes if lane.lane.endswith("+optimize")]
    assert optimised
    assert all(lane.passed for lane in optimised), optimised


def test_samples_repeat_and_stay_in_their_range() -> None:
    specs = (
        TensorSpec(name="ids", dtype="int64", shape=(50,), low=3, high=9),
        TensorSpec(name="pixels", dtype="float32", shape=(50,), low=0.5, high=0.75),
        TensorSpec(name="flags", dtype="bool", shape=(50,)),
    )
    drawn, again, other = sample(specs, 1), sample(specs, 1), sample(specs, 2)
    torch.testing.assert_close(drawn, again)
    assert not torch.equal(drawn["ids"], other["ids"])
    assert set(drawn["ids"].tolist()) == {3, 4, 5, 6, 7, 8}
    assert 0.5 <= float(drawn["pixels"].min()) <= float(drawn["pixels"].max()) < 0.75
    assert drawn["flags"].dtype is torch.bool


def _sample_source() -> str:
    return (Path(__file__).parents[1] / "sample_models.py").read_text(encoding="utf-8")
