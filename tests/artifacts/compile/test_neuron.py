from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import transformers

from artifacts.compile import neuron, neuronx
from artifacts.compile.fit import refuse_misfit
from artifacts.compile.loading import load_model
from artifacts.compile.neuron_programs import NeuronJob, NeuronProgram, compile_neuron_program
from artifacts.compile.parity import examine
from artifacts.compile.pipeline import compile_model
from artifacts.compile.request import CompileRequest, Method
from artifacts.compile.subject import Subject, prepare_subject
from artifacts.errors import BadRequest, CompileError, ToolchainMissing, VerificationFailed
from artifacts.specs import parse_specs
from artifacts.targets import Compiler, find
from tests.artifacts.compile import neuron_doubles as doubles

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLES = Path(__file__).parents[1] / "sample_models.py"


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., NeuronProgram]:
    def build_(
        sdk: Any,
        target: str,
        model: str = f"{SAMPLES}:two_layers",
        spec: str = "x=float32[1,4]",
        *,
        device: bool = False,
        flags: dict[str, str] | None = None,
    ) -> NeuronProgram:
        subject, cases = examine(prepare_subject(load_model(model).module, parse_specs(tuple(spec.split()))))
        job = NeuronJob(
            sdk=sdk,
            target=find(target),
            subject=subject,
            cases=cases,
            atol=1e-3,
            directory=tmp_path,
            progress=lambda _: None,
            device=device,
            flags=flags or {},
        )
        return compile_neuron_program(job)

    return build_


def test_neuronx_compiles_without_a_device_for_the_family_asked_for(
    build: Callable[..., NeuronProgram],
) -> None:
    sdk = doubles.DocumentedTorchNeuronX()
    made = build(sdk, "inf2.8xlarge")
    assert sdk.calls == [
        {"compiler_args": "--target inf2 --auto-cast none", "cpu_backend": True, "partitioner": None}
    ]
    assert made.placement.share == 1.0
    assert made.placement.segments == 1
    assert not made.parity.passed  # nothing ran it
    assert "golden request" in made.note


def test_a_nested_argument_is_compiled_from_tensors_by_position(build: Callable[..., NeuronProgram]) -> None:
    model = f"{SAMPLES.with_name('nested_models.py')}:TakesATuple"
    inputs = "pair.0=float32[1,4] pair.1=float32[1,4] scale=float32[1,4]"
    for sdk, target in (
        (doubles.DocumentedTorchNeuronX(), "inf2.xlarge"),
        (doubles.DocumentedTorchNeuron(), "inf1.xlarge"),
    ):
        made = build(sdk, target, model, inputs, device=True)
        assert made.parity.passed
        left, right, scale = torch.ones(1, 4), torch.full((1, 4), 2.0), torch.full((1, 4), 3.0)
        torch.testing.assert_close(made.module(left, right, scale)[0], torch.full((1, 4), -9.0))


def test_inf1_is_analysed_before_it_is_compiled(build: Callable[..., NeuronProgram]) -> None:
    sdk = doubles.DocumentedTorchNeuron()
    build(sdk, "inf1.xlarge")
    assert [name for name, _ in sdk.calls] == ["analyze_model", "trace"]
    assert sdk.calls[1][1] == {
        "compiler_args": ["--fp32-cast", "matmult"],
        "dynamic_batch_size": False,
        "separate_weights": False,
    }


def test_where_there_is_a_device_its_answers_are_compared(build: Callable[..., NeuronProgram]) -> None:
    made = build(doubles.DocumentedTorchNeuronX(), "inf2.xlarge", device=True)
    assert made.parity.passed
    assert made.parity.inputs_checked >= 6
    with pytest.raises(VerificationFailed, match=r"answers differ by 0\.0") as refused:
        build(doubles.DocumentedTorchNeuronX(drift=0.02), "inf2.xlarge", device=True)
    assert "--atol" in refused.value.hint


def test_a_silent_fall_back_to_the_cpu_fails_the_compilation(build: Callable[..., NeuronProgram]) -> None:
    with pytest.raises(CompileError, match="No operator was placed on Neuron") as refused:
        build(doubles.DocumentedTorchNeuron(falls_back=True), "inf1.xlarge")
    assert refused.value.exit_code == 4
    assert "aten::linear (2)" in refused.value.hint


def test_too_small_a_share_on_the_device_fails_the_compilation(build: Callable[..., NeuronProgram]) -> None:
    with pytest.raises(CompileError, match="Only 67% of the operators were placed on Neuron") as refused:
        build(doubles.DocumentedTorchNeuronX(on_host=1), "trn1.2xlarge")
    assert "aten::mul (1)" in refused.value.hint


def test_what_does_not_compile_whole_is_partitioned_down_to_the_gates_own_threshold(
    build: Callable[..., NeuronProgram],
) -> None:
    sdk = doubles.DocumentedTorchNeuronX(whole=False)
    build(sdk, "inf2.xlarge")
    assert [call["partitioner"] for call in sdk.calls] == [None, {"threshold": 0.9}]


def test_what_is_said_to_neuronx_reaches_it(build: Callable[..., NeuronProgram]) -> None:
    sdk = doubles.DocumentedTorchNeuronX(whole=False, on_host=1)
    flags = {
        "auto-cast": "matmult",
        "auto-cast-type": "fp16",
        "optlevel": "3",
        "model-type": "transformer",
        "cpu-backend": "false",
        "inline-weights-to-neff": "false",
        "model-support-percentage-threshold": "0.5",
        "min-subgraph-size": "2",
        "max-subgraph-count": "4",
    }
    made = build(sdk, "inf2.xlarge", flags=flags)
    assert sdk.calls[-1] == {
        "compiler_args": "--target inf2 --auto-cast matmult --auto-cast-type fp16 --optlevel 3 "
        "--model-type transformer",
        "cpu_backend": False,
        "partitioner": {"threshold": 0.5},
    }
    assert sdk.inlined is False
    assert sdk.partitions == (2, 4)
    assert 0.5 < made.placement.share < 0.9  # the gate yields to the threshold that was asked for


def test_what_is_said_to_torch_neuron_reaches_it(build: Callable[..., NeuronProgram]) -> None:
    sdk = doubles.DocumentedTorchNeuron()
    flags = {
        "fp32-cast": "all-fp16",
        "dynamic-batch-size": "true",
        "separate-weights": "true",
        "neuroncore-pipeline-cores": "8",
    }
    build(sdk, "inf1.6xlarge", flags=flags)
    assert sdk.calls[1][1] == {
        "compiler_args": ["--fp32-cast", "all-fp16", "--neuroncore-pipeline-cores", "8"],
        "dynamic_batch_size": True,
        "separate_weights": True,
    }


def test_a_model_with_a_branch_is_refused_because_neuron_takes_traces_only(
    build: Callable[..., NeuronProgram],
) -> None:
    with pytest.raises(VerificationFailed, match="trace of the model does not answer like it") as refused:
        build(doubles.DocumentedTorchNeuronX(), "inf2.xlarge", model=f"{SAMPLES}:Branch")
    assert "sample_models.py:" in refused.value.hint


def test_a_compiler_that_fails_is_a_compile_error(build: Callable[..., NeuronProgram]) -> None:
    class Failing:
        def analyze_model(self, model: Any, *, example_inputs: Any) -> str:
            return ""

        def trace(self, model: Any, example_inputs: Any, **options: Any) -> torch.jit.ScriptModule:
            raise RuntimeError("No operator placed on Neuron")

    with pytest.raises(CompileError, match="No operator placed on Neuron"):
        build(Failing(), "inf1.xlarge")


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        (neuronx.NeuronXOptions(), "--target trn2 --auto-cast none"),
        (
            neuronx.NeuronXOptions(
                auto_cast=neuronx.AutoCast.MATMULT, auto_cast_type=neuronx.AutoCastType.FP16
            ),
            "--target trn2 --auto-cast matmult --auto-cast-type fp16",
        ),
    ],
)
def test_the_casts_are_said_to_neuronx_cc(options: neuronx.NeuronXOptions, arguments: str) -> None:
    assert neuronx.compiler_arguments("trn2.48xlarge", options) == arguments


class Weights(torch.nn.Module):
    """Has so many float32 weights, and no memory for them."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.held = torch.nn.Parameter(torch.empty(count, device="meta"), requires_grad=False)


@pytest.mark.parametrize(("weights", "separate"), [(475_000_000, False), (475_000_001, True)])
def test_weights_above_1_9_gb_are_kept_apart(weights: int, separate: bool) -> None:
    options = neuron.trace_options(Weights(weights), Path("w"), neuron.NeuronOptions())
    assert options["separate_weights"] is separate


@pytest.mark.parametrize(
    ("weights", "cores"), [(1_000_000, 4), (25_557_032, 4), (110_000_000, 24), (2_000_000_000, 64)]
)
def test_a_pipeline_has_four_cores_for_twenty_million_weights(weights: int, cores: int) -> None:
    assert neuron.pipeline_cores(weights) == cores


def test_the_options_of_inf1_reach_the_compiler() -> None:
    chosen = neuron.NeuronOptions(fp32_cast=neuron.Fp32Cast.ALL_FP16, dynamic_batch=True, pipeline=True)
    options = neuron.trace_options(Weights(110_000_000), Path("w"), chosen)
    assert options["compiler_args"] == ["--fp32-cast", "all-fp16", "--neuroncore-pipeline-cores", "24"]
    assert options["dynamic_batch_size"] is True


@pytest.mark.parametrize(
    ("instance_type", "target"),
    [
        ("inf2.xlarge", "inf2"),
        ("trn1.2xlarge", "trn1"),
        ("trn1n.32xlarge", "trn1n"),
        ("trn2.48xlarge", "trn2"),
        ("trn2u.48xlarge", "trn2"),
    ],
)
def test_each_neuron_instance_has_its_compiler_target(instance_type: str, target: str) -> None:
    assert neuronx.compiler_target(instance_type) == target


@pytest.mark.parametrize("instance_type", ["inf1.xlarge", "trn3.48xlarge", "c7i.xlarge"])
def test_other_instances_have_none(instance_type: str) -> None:
    with pytest.raises(BadRequest, match=instance_type):
        neuronx.compiler_target(instance_type)


def _gpt2() -> torch.nn.Module:
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=11, n_positions=16, use_cache=False)
    )


def _t5() -> torch.nn.Module:
    return transformers.T5ForConditionalGeneration(
        transformers.T5Config(d_model=8, d_ff=8, d_kv=4, num_layers=1, num_heads=2, vocab_size=11)
    )


@pytest.mark.parametrize(
    ("model", "compiler", "part"),
    [
        (_gpt2, Compiler.TORCH_NEURON, "a generative decoder"),
        (_t5, Compiler.TORCH_NEURON, "an encoder with a decoder"),
        (_t5, Compiler.TORCH_NEURONX, "not both in one program"),
    ],
)
def test_what_a_family_does_not_run_is_refused_with_the_reason(
    model: Callable[[], torch.nn.Module], compiler: Compiler, part: str
) -> None:
    with pytest.raises(CompileError, match="does not fit inf") as refused:
        refuse_misfit(model(), compiler, "inf2.xlarge")
    assert part in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize(
    ("model", "target", "said"),
    [
        ("_gpt2", "inf1.xlarge", "GPT2LMHeadModel does not fit inf1.xlarge: it is a generative decoder"),
        ("_t5", "inf1.xlarge", "T5ForConditionalGeneration does not fit inf1.xlarge: it is an encoder with"),
        ("_t5", "trn1.2xlarge", "T5ForConditionalGeneration does not fit trn1.2xlarge: it is an encoder"),
    ],
)
def test_a_generative_model_is_refused_before_its_answers_are_asked_for(
    model: str, target: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch_neuron", doubles.DocumentedTorchNeuron())
    monkeypatch.setitem(sys.modules, "torch_neuronx", doubles.DocumentedTorchNeuronX())
    steps: list[str] = []
    request = CompileRequest(
        model=f"{__file__}:{model}", inputs=("input_ids=int64[1,16]:0..11",), target=target, out_dir=tmp_path
    )
    with pytest.raises(CompileError, match=said) as refused:
        compile_model(request, steps.append)
    assert refused.value.exit_code == 4
    assert ("encoder" in refused.value.hint) == (model == "_t5")
    assert not any("eager" in step for step in steps)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_tells_that_it_does_not_fit_where_there_is_no_compiler(tmp_path: Path) -> None:
    """Before anybody installs one, or pays for a host that has one."""
    model = tmp_path / "model"
    _t5().config.save_pretrained(model)  # type: ignore[operator, union-attr]
    described = json.loads((model / "config.json").read_bytes())
    config = described | {"architectures": ["T5ForConditionalGeneration"]}
    (model / "config.json").write_text(json.dumps(config), encoding="utf-8")
    request = CompileRequest(model=str(model), inputs=(), target="inf2.xlarge", out_dir=tmp_path)
    with pytest.raises(CompileError, match="T5ForConditionalGeneration does not fit inf2"):
        compile_model(request, lambda _: None)
    encoder = described | {"architectures": ["T5EncoderModel"]}
    (model / "config.json").write_text(json.dumps(encoder), encoding="utf-8")
    with pytest.raises(ToolchainMissing, match="torch_neuronx is not installed"):
        compile_model(request, lambda _: None)


def test_a_stand_in_says_that_the_real_accelerator_would_not_run_it(tmp_path: Path) -> None:
    request = CompileRequest(
        model=f"{__file__}:_gpt2",
        inputs=("input_ids=int64[1,16]:0..11",),
        target="inf1.xlarge",
        out_dir=tmp_path,
        stand_in=True,
        method=Method.TRACE,
    )
    result = compile_model(request, lambda _: None)
    assert result.stand_in
    assert "does not fit inf1.xlarge" in result.warnings[0]


def test_what_a_family_runs_is_let_through() -> None:
    refuse_misfit(_gpt2(), Compiler.TORCH_NEURONX, "inf2.xlarge")
    refuse_misfit(_t5().get_encoder(), Compiler.TORCH_NEURON, "inf1.xlarge")  # type: ignore[operator]
    refuse_misfit(torch.nn.Linear(1, 1), Compiler.TORCH_NEURON, "inf1.xlarge")


def test_a_documented_double_refuses_what_aws_does_not_document() -> None:
    subject: Subject = prepare_subject(torch.nn.ReLU(), parse_specs(("float32[1]",)))
    with pytest.raises(CompileError, match="unexpected keyword"):
        neuronx.compile_program(
            doubles.DocumentedTorchNeuronX(), subject, (torch.ones(1),), {"dynamic_batch_size": True}
        )
