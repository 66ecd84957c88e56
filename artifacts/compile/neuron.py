"""Compile for Inf1 with torch_neuron.

Signature: https://awsdocs-neuron.readthedocs-hosted.com/en/latest/archive/torch-neuron/api-compilation-python-api.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from artifacts.compile.foreign import user_code

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch

    from artifacts.compile.subject import Subject

# torch_neuron embeds weights in the program up to 1.9 GB.
_EMBEDDED_BYTES = 1_900_000_000


class TorchNeuron(Protocol):
    """The part of torch_neuron that we call."""

    @property
    def trace(self) -> Callable[..., torch.jit.ScriptModule]:
        """Compile for NeuronCore-v1."""
        ...


def trace_options(weight_bytes: int, work_directory: Path) -> dict[str, Any]:
    """Return the keyword arguments of torch_neuron.trace."""
    return {
        # Keeps FP32 as it is asked for; the default casts to BF16 without saying so.
        "compiler_args": ["--fp32-cast", "matmult"],
        "compiler_workdir": str(work_directory),
        "fallback": True,
        "dynamic_batch_size": False,
        "separate_weights": weight_bytes > _EMBEDDED_BYTES,
        "strict": False,
    }


def compile_program(
    sdk: TorchNeuron, subject: Subject, example: list[torch.Tensor], work_directory: Path
) -> torch.jit.ScriptModule:
    """Return the program for Inf1's NeuronCores."""
    weights = sum(tensor.numel() * tensor.element_size() for tensor in subject.model.parameters())
    with user_code("torch_neuron.trace"):
        return sdk.trace(subject.flat, example, **trace_options(weights, work_directory))
