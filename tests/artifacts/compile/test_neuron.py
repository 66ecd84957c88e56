from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from artifacts.compile import neuron, neuronx
from artifacts.compile.subject import Subject, prepare_subject
from artifacts.errors import BadRequest, CompileError
from artifacts.manifest import TensorSpec
from artifacts.serve.program import torchscript_expected


class DocumentedTorchNeuron:
    """Has the signature in AWS's reference for torch_neuron.trace, and nothing else."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def trace(  # noqa: PLR0917 - AWS's own
        self,
        model: Any,
        example_inputs: Any,
        compiler_args: list[str] | None = None,
        compiler_timeout: int | None = None,
        compiler_workdir: str | None = None,
        subgraph_builder_function: Any = None,
        minimum_segment_size: int = 2,
        single_fusion_ratio_threshold: float = 0.6,
        fallback: bool = True,
        dynamic_batch_size: bool = False,
        optimizations: Any = None,
        separate_weights: bool = False,
        strict: bool = True,
    ) -> torch.jit.ScriptModule:
        self.calls.append({"separate_weights": separate_weights, "compiler_args": compiler_args})
        return _traced(model, example_inputs)


class DocumentedTorchNeuronX:
    """Has the signature in AWS's reference for torch_neuronx.trace, and nothing else."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def trace(
        self,
        func: Any,
        example_inputs: Any,
        *_: Any,
        input_output_aliases: dict[Any, Any] | None = None,
        compiler_workdir: str | None = None,
        compiler_args: str | None = None,
        partitioner_config: Any = None,
        inline_weights_to_neff: bool = True,
        cpu_backend: bool = False,
    ) -> torch.jit.ScriptModule:
        self.calls.append({"compiler_args": compiler_args, "cpu_backend": cpu_backend})
        return _traced(func, example_inputs)


def _traced(model: Any, example: Any) -> torch.jit.ScriptModule:
    with torchscript_expected():
        traced = torch.jit.trace(model, tuple(example))  # type: ignore[no-untyped-call]
    assert isinstance(traced, torch.jit.ScriptModule)
    return traced


@pytest.fixture
def subject() -> Subject:
    return prepare_subject(torch.nn.Linear(4, 2), (TensorSpec(name="input", dtype="float32", shape=(1, 4)),))


def test_neuronx_compiles_without_a_device_for_the_family_asked_for(subject: Subject, tmp_path: Path) -> None:
    sdk = DocumentedTorchNeuronX()
    options = neuronx.trace_options("inf2.8xlarge", tmp_path)
    program = neuronx.compile_program(sdk, subject, (torch.ones(1, 4),), options)
    assert sdk.calls == [{"compiler_args": "--target inf2 --auto-cast none", "cpu_backend": True}]
    torch.testing.assert_close(program(torch.ones(1, 4))[0], subject.model(torch.ones(1, 4)))


def test_neuron_compiles_for_inf1(subject: Subject, tmp_path: Path) -> None:
    sdk = DocumentedTorchNeuron()
    program = neuron.compile_program(sdk, subject, [torch.ones(1, 4)], tmp_path)
    assert sdk.calls == [{"separate_weights": False, "compiler_args": ["--fp32-cast", "matmult"]}]
    torch.testing.assert_close(program(torch.ones(1, 4))[0], subject.model(torch.ones(1, 4)))


@pytest.mark.parametrize(("weight_bytes", "separate"), [(1_900_000_000, False), (1_900_000_001, True)])
def test_weights_above_the_limit_are_kept_apart(weight_bytes: int, separate: bool) -> None:
    assert neuron.trace_options(weight_bytes, Path("w"))["separate_weights"] is separate


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


def test_a_compiler_that_fails_is_a_compile_error(subject: Subject, tmp_path: Path) -> None:
    class Failing:
        def trace(self, func: Any, example_inputs: Any, **options: Any) -> torch.jit.ScriptModule:
            raise RuntimeError("No operator placed on Neuron")

    options = neuronx.trace_options("inf2.xlarge", tmp_path)
    with pytest.raises(CompileError, match="No operator placed on Neuron"):
        neuronx.compile_program(Failing(), subject, (torch.ones(1, 4),), options)
