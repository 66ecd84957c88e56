"""Compile for Inf1 with torch_neuron.

Signature: https://awsdocs-neuron.readthedocs-hosted.com/en/latest/archive/torch-neuron/api-compilation-python-api.html
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from artifacts.compile.flags import PIPELINE_CORES
from artifacts.compile.foreign import user_code

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import torch

    from artifacts.compile.subject import Subject

# torch_neuron embeds weights in the program up to 1.9 GB.
_EMBEDDED_BYTES = 1_900_000_000
_WEIGHTS_PER_FOUR_CORES = 2e7
_MOST_CORES = 64


class Fp32Cast(str, Enum):  # noqa: UP042 - artifacts/ runs on Python 3.10
    """What neuron-cc may compute in fewer bits; its own default casts to BF16 without saying so."""

    ALL = "all"
    MATMULT = "matmult"
    MATMULT_FP16 = "matmult-fp16"
    MATMULT_BF16 = "matmult-bf16"
    ALL_FP16 = "all-fp16"


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuronOptions:
    """The choices of a compilation for Inf1."""

    fp32_cast: Fp32Cast = Fp32Cast.MATMULT
    dynamic_batch: bool = False  # the program then takes any batch; its first dimension must be the batch
    pipeline: bool = False  # spread the layers over cores, weights in their caches
    pipeline_cores: int = 0  # over so many; 0: by AWS's rule
    separate_weights: bool | None = None  # None: where they are too large to embed

    @classmethod
    def of(cls, flags: Mapping[str, str]) -> NeuronOptions:
        """Return the choices that checked flags (`artifacts.compile.flags`) name."""
        cores = int(flags.get(PIPELINE_CORES, "1"))
        separate = flags.get("separate-weights")
        return cls(
            fp32_cast=Fp32Cast(flags.get("fp32-cast", "matmult")),
            dynamic_batch=flags.get("dynamic-batch-size") == "true",
            pipeline=cores > 1,
            pipeline_cores=cores,
            separate_weights=None if separate is None else separate == "true",
        )


class TorchNeuron(Protocol):
    """The part of torch_neuron that we call."""

    @property
    def trace(self) -> Callable[..., torch.jit.ScriptModule]:
        """Compile for NeuronCore-v1."""
        ...

    @property
    def analyze_model(self) -> Callable[..., object]:
        """Say which operators NeuronCore-v1 has."""
        ...


def pipeline_cores(weights: int) -> int:
    """Return the NeuronCores that hold this many weights in their caches: 4 * round(weights / 2e7), 4 to 64.

    Formula: neuroncore-pipeline, https://awsdocs-neuron.readthedocs-hosted.com/en/latest/archive/torch-neuron/
    """
    return max(4, min(_MOST_CORES, 4 * round(weights / _WEIGHTS_PER_FOUR_CORES)))


def trace_options(model: torch.nn.Module, work_directory: Path, options: NeuronOptions) -> dict[str, Any]:
    """Return the keyword arguments of torch_neuron.trace."""
    weight_bytes = sum(tensor.numel() * tensor.element_size() for tensor in model.parameters())
    weights = sum(tensor.numel() for tensor in model.parameters())
    compiler = ["--fp32-cast", options.fp32_cast.value]
    if options.pipeline:
        cores = options.pipeline_cores or pipeline_cores(weights)
        compiler += [f"--{PIPELINE_CORES}", str(cores)]
    separate = options.separate_weights
    return {
        "compiler_args": compiler,
        "compiler_workdir": str(work_directory),
        "fallback": True,
        "dynamic_batch_size": options.dynamic_batch,
        "separate_weights": weight_bytes > _EMBEDDED_BYTES if separate is None else separate,
        "strict": False,
    }


def analyze(sdk: TorchNeuron, subject: Subject, example: tuple[torch.Tensor, ...]) -> str:
    """Return torch_neuron's report of supported operators; asked first, for it takes seconds."""
    with user_code("torch_neuron.analyze_model"):
        return str(sdk.analyze_model(subject.flat, example_inputs=list(example)) or "")


def compile_program(
    sdk: TorchNeuron, subject: Subject, example: tuple[torch.Tensor, ...], options: dict[str, Any]
) -> torch.jit.ScriptModule:
    """Return the program for Inf1's NeuronCores."""
    with user_code("torch_neuron.trace"):
        return sdk.trace(subject.flat, list(example), **options)
