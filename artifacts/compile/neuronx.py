"""Compile for Inf2, Trn1 and Trn2 with torch_neuronx, on a machine with or without the device.

Signature: https://awsdocs-neuron.readthedocs-hosted.com/en/latest/frameworks/torch/torch-neuronx/api-reference-guide/inference/api-torch-neuronx-trace.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from artifacts.compile.foreign import user_code
from artifacts.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch

    from artifacts.compile.subject import Subject

# The compiler's own list; trn3 is not in it.
_TARGETS = ("inf2", "trn1n", "trn1", "trn2")


class TorchNeuronX(Protocol):
    """The part of torch_neuronx that we call."""

    @property
    def trace(self) -> Callable[..., torch.jit.ScriptModule]:
        """Compile for NeuronCore-v2 and later."""
        ...


def compiler_target(instance_type: str) -> str:
    """Return neuronx-cc's --target for an instance type."""
    family = instance_type.partition(".")[0].removesuffix("u")  # trn2u hosts carry trn2 chips
    if family not in _TARGETS:
        raise BadRequest(f"neuronx-cc has no target for {instance_type}.", f"It has {', '.join(_TARGETS)}.")
    return family


def trace_options(instance_type: str, work_directory: Path) -> dict[str, Any]:
    """Return the keyword arguments of torch_neuronx.trace."""
    return {
        "compiler_args": f"--target {compiler_target(instance_type)} --auto-cast none",
        "compiler_workdir": str(work_directory),
        "cpu_backend": True,
    }


def compile_program(
    sdk: TorchNeuronX,
    subject: Subject,
    example: tuple[torch.Tensor, ...],
    options: dict[str, Any],
) -> torch.jit.ScriptModule:
    """Return the program for the NeuronCores that the options name."""
    with user_code("torch_neuronx.trace"):
        return sdk.trace(subject.flat, example, **options)
