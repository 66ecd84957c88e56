"""Compile for Inf2, Trn1 and Trn2 with torch_neuronx, on a machine with or without the device.

Signature: https://awsdocs-neuron.readthedocs-hosted.com/en/latest/frameworks/torch/torch-neuronx/api-reference-guide/inference/api-torch-neuronx-trace.html
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from artifacts.compile.flags import INLINE_WEIGHTS
from artifacts.compile.foreign import user_code
from artifacts.compile.placement import LEAST_SHARE
from artifacts.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import torch

    from artifacts.compile.subject import Subject

# The compiler's own list; trn3 is not in it.
_TARGETS = ("inf2", "trn1n", "trn1", "trn2")


class AutoCast(str, Enum):  # noqa: UP042 - artifacts/ runs on Python 3.10
    """Which operators neuronx-cc may compute in fewer bits."""

    NONE = "none"
    MATMULT = "matmult"
    ALL = "all"


class AutoCastType(str, Enum):  # noqa: UP042 - artifacts/ runs on Python 3.10
    """The fewer bits."""

    BF16 = "bf16"
    FP16 = "fp16"
    TF32 = "tf32"
    FP8 = "fp8_e4m3"


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuronXOptions:
    """The choices of a compilation for Inf2, Trn1 or Trn2."""

    auto_cast: AutoCast = AutoCast.NONE
    auto_cast_type: AutoCastType = AutoCastType.BF16
    support_threshold: float = (
        LEAST_SHARE  # of the model's operators on the device; neuronx's own default is 0.5
    )
    min_subgraph_size: int = -1  # operators; -1: any
    max_subgraph_count: int = -1  # parts on the device; -1: any
    optlevel: int = 2
    model_type: str = "generic"
    inline_weights: bool = True  # in the compiled program; else a host puts them on its device when it loads
    cpu_backend: bool = True  # compiles where there is no device, and where there is one just as well

    @classmethod
    def of(cls, flags: Mapping[str, str]) -> NeuronXOptions:
        """Return the choices that checked flags (`artifacts.compile.flags`) name."""
        return cls(
            auto_cast=AutoCast(flags.get("auto-cast", "none")),
            auto_cast_type=AutoCastType(flags.get("auto-cast-type", "bf16")),
            support_threshold=float(flags.get("model-support-percentage-threshold", LEAST_SHARE)),
            min_subgraph_size=int(flags.get("min-subgraph-size", "-1")),
            max_subgraph_count=int(flags.get("max-subgraph-count", "-1")),
            optlevel=int(flags.get("optlevel", "2")),
            model_type=flags.get("model-type", "generic"),
            inline_weights=flags.get(INLINE_WEIGHTS) != "false",
            cpu_backend=flags.get("cpu-backend") != "false",
        )


class TorchNeuronX(Protocol):
    """The part of torch_neuronx that we call."""

    @property
    def trace(self) -> Callable[..., torch.jit.ScriptModule]:
        """Compile for NeuronCore-v2 and later."""
        ...

    @property
    def PartitionerConfig(self) -> Callable[..., object]:  # noqa: N802 - AWS's own name
        """Make the settings of the partitioner."""
        ...


def compiler_target(instance_type: str) -> str:
    """Return neuronx-cc's --target for an instance type."""
    family = instance_type.partition(".")[0].removesuffix("u")  # trn2u hosts carry trn2 chips
    if family not in _TARGETS:
        raise BadRequest(f"neuronx-cc has no target for {instance_type}.", f"It has {', '.join(_TARGETS)}.")
    return family


def compiler_arguments(instance_type: str, options: NeuronXOptions) -> str:
    """Return neuronx-cc's command line."""
    arguments = ["--target", compiler_target(instance_type), "--auto-cast", options.auto_cast.value]
    if options.auto_cast is not AutoCast.NONE:
        arguments += ["--auto-cast-type", options.auto_cast_type.value]
    if options.optlevel != 2:
        arguments += ["--optlevel", str(options.optlevel)]
    if options.model_type != "generic":
        arguments += ["--model-type", options.model_type]
    return " ".join(arguments)


def trace_options(instance_type: str, work_directory: Path, options: NeuronXOptions) -> dict[str, Any]:
    """Return the keyword arguments of torch_neuronx.trace, all but the partitioner's."""
    return {
        "compiler_args": compiler_arguments(instance_type, options),
        "compiler_workdir": str(work_directory),
        "cpu_backend": options.cpu_backend,
        "inline_weights_to_neff": options.inline_weights,
    }


def partitioner_options(options: NeuronXOptions) -> dict[str, Any]:
    """Return the keyword arguments of torch_neuronx.PartitionerConfig."""
    return {
        "model_support_percentage_threshold": options.support_threshold,
        "min_subgraph_size": options.min_subgraph_size,
        "max_subgraph_count": options.max_subgraph_count,
    }


def compile_program(
    sdk: TorchNeuronX,
    subject: Subject,
    example: tuple[torch.Tensor, ...],
    options: dict[str, Any],
    partitioner: dict[str, Any] | None = None,
) -> torch.jit.ScriptModule:
    """Return the program for the NeuronCores that the options name."""
    with user_code("torch_neuronx.trace"):
        config = {} if partitioner is None else {"partitioner_config": sdk.PartitionerConfig(**partitioner)}
        return sdk.trace(subject.flat, example, **options, **config)
