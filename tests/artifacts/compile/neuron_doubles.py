"""Doubles of AWS's SDKs with exactly the documented signatures, whose compiled programs run on the CPU.

What they compile becomes one `neuron::` operator, as the SDKs' own programs have.
"""

from __future__ import annotations

from typing import Any

import torch

from artifacts.serve.program import torchscript_expected

_COMPILED: list[torch.jit.ScriptModule] = []
_LIBRARY = torch.library.Library("neuron", "DEF")  # type: ignore[no-untyped-call]
_LIBRARY.define("forward_double(int program, Tensor[] inputs) -> Tensor[]")  # type: ignore[no-untyped-call]


@torch.library.impl(_LIBRARY, "forward_double", "CompositeExplicitAutograd")
def _forward(program: int, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in _COMPILED[program](*inputs)]


class _OnDevice(torch.nn.Module):
    """Runs a program as one operator, then so many operators of the host."""

    def __init__(self, program: torch.jit.ScriptModule, on_host: int) -> None:
        super().__init__()
        _COMPILED.append(program)
        self._index = len(_COMPILED) - 1
        self._on_host = on_host

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        answers = torch.ops.neuron.forward_double(self._index, list(inputs))
        for _ in range(self._on_host):
            answers = [torch.mul(answer, 1.0) for answer in answers]
        return tuple(answers)


class _Drifting(torch.nn.Module):
    """Answers a little beside the model, as rounding to fewer bits does."""

    def __init__(self, model: torch.nn.Module, drift: float) -> None:
        super().__init__()
        self._model, self._drift = model, drift

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(answer + self._drift for answer in self._model(*inputs))


def traced(model: Any, example: Any) -> torch.jit.ScriptModule:
    """Return a plain trace: what a silent fall-back to the CPU looks like."""
    with torchscript_expected(), torch.no_grad():
        module = torch.jit.trace(model, tuple(example), check_trace=False, strict=False)  # type: ignore[no-untyped-call]
    assert isinstance(module, torch.jit.ScriptModule)
    return module


class DocumentedTorchNeuron:
    """Has the signatures in AWS's reference for torch_neuron, and nothing else."""

    __version__ = "1.13.1.2.11.13.0"

    def __init__(self, *, on_host: int = 0, falls_back: bool = False, drift: float = 0.0) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._on_host, self._falls_back, self._drift = on_host, falls_back, drift

    def analyze_model(self, model: Any, *, example_inputs: list[torch.Tensor]) -> str:
        self.calls.append(("analyze_model", {}))
        return "100.00% of arithmetic operations are supported"

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
        told = {
            "compiler_args": compiler_args,
            "dynamic_batch_size": dynamic_batch_size,
            "separate_weights": separate_weights,
        }
        self.calls.append(("trace", told))
        return self._placed(model, example_inputs)

    def _placed(self, model: Any, example: Any) -> torch.jit.ScriptModule:
        plain = traced(model, example)
        if self._falls_back:
            return plain
        if self._drift:
            plain = traced(_Drifting(model, self._drift), example)
        return traced(_OnDevice(plain, self._on_host), example)


class DocumentedTorchNeuronX:
    """Has the signatures in AWS's reference for torch_neuronx, and nothing else."""

    __version__ = "2.9.0.2.15.32035"

    def __init__(self, *, on_host: int = 0, whole: bool = True, drift: float = 0.0) -> None:
        self.calls: list[dict[str, Any]] = []
        self._neuron = DocumentedTorchNeuron(on_host=on_host, drift=drift)
        self._whole = whole
        self.inlined: bool | None = None

    def PartitionerConfig(  # noqa: N802 - AWS's own
        self,
        *,
        model_support_percentage_threshold: float = 0.5,
        min_subgraph_size: int = -1,
        max_subgraph_count: int = -1,
        ops_to_partition: Any = None,
    ) -> dict[str, Any]:
        self.partitions = (min_subgraph_size, max_subgraph_count)
        return {"threshold": model_support_percentage_threshold}

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
        assert not _, "torch_neuronx.trace takes keywords only after the inputs"
        self.calls.append(
            {"compiler_args": compiler_args, "cpu_backend": cpu_backend, "partitioner": partitioner_config}
        )
        self.inlined = inline_weights_to_neff
        if not self._whole and partitioner_config is None:
            raise RuntimeError("neuronx-cc has no operator aten::special_thing")
        return self._neuron._placed(func, example_inputs)
