"""TorchScript programs: how they are loaded, prepared after loading, and how their answers are read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from artifacts.errors import BadRequest

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM_NAME = "program.pt"
GOLDEN_NAME = "golden.safetensors"
TORCHSCRIPT = "torchscript"
ELASTIC_INFERENCE = "torchscript-eia"  # TorchScript that EI's framework attaches to the accelerator
NO_PREPARATION = "none"
OPTIMIZE_FOR_INFERENCE = "optimize-for-inference"


@contextmanager
def torchscript_expected() -> Iterator[None]:
    """Silence torch's advice to leave TorchScript: Neuron's and EI's artifacts are nothing else.

    torch 2.13 gives it as a DeprecationWarning, 2.14 as a FutureWarning.
    """
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning):
            warnings.filterwarnings("ignore", r".*torch\.jit.*is deprecated", category)
        yield


def flatten(value: object) -> list[torch.Tensor]:
    """Return the tensors of a model's answer in order; dictionaries by their own order, None left out."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, Mapping):
        return [tensor for item in value.values() for tensor in flatten(item)]
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in flatten(item)]
    if value is None:
        return []
    raise BadRequest(
        f"The model returns a {type(value).__name__}; only tensors, and tuples, lists and dictionaries of "
        "tensors, can be served."
    )


def prepare(program: torch.jit.ScriptModule, preparation: str) -> torch.jit.ScriptModule:
    """Do after loading what a saved program cannot carry.

    `optimize_for_inference` packs weights into oneDNN's own layout, which `torch.jit.save` drops without
    a word, so it is done wherever the program is loaded.
    """
    if preparation != OPTIMIZE_FOR_INFERENCE:
        return program
    with torchscript_expected():
        return torch.jit.optimize_for_inference(program)


def load_program(path: Path, preparation: str) -> torch.jit.ScriptModule:
    """Load a TorchScript program onto the CPU; the caller has verified the bytes."""
    with torchscript_expected():
        program = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    return prepare(program, preparation)
