"""Programs: how they are loaded, prepared after loading, and how their answers are read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from artifacts.errors import ArtifactRefused, BadRequest
from artifacts.serve.aotinductor import load_package
from artifacts.serve.cuda import Replay, on_gpu

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROGRAM_NAME = "program.pt"
GOLDEN_NAME = "golden.safetensors"
TORCHSCRIPT = "torchscript"
ELASTIC_INFERENCE = "torchscript-eia"  # TorchScript that EI's framework attaches to the accelerator
AOTINDUCTOR = "aotinductor"  # machine code in a `.pt2` package
NO_PREPARATION = "none"
OPTIMIZE_FOR_INFERENCE = "optimize-for-inference"
ONEDNN_GRAPH = "onednn-graph"  # fused in its first runs, by a flag of the process
CUDA = "cuda"
CUDA_GRAPH = "cuda-graph"  # captured after loading, replayed per request
PREPARATIONS = frozenset({NO_PREPARATION, OPTIMIZE_FOR_INFERENCE, ONEDNN_GRAPH, CUDA, CUDA_GRAPH})

_UPDATE = "Ship with the version of amazonei that compiled it."


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
    a word, so it is done wherever the program is loaded. oneDNN Graph fuses what runs while its flag is set,
    and the flag is the whole process's: one process holds one model.
    """
    if torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        torch.jit.enable_onednn_fusion(preparation == ONEDNN_GRAPH)
    if preparation != OPTIMIZE_FOR_INFERENCE:
        return program
    with torchscript_expected():
        return torch.jit.optimize_for_inference(program)


def open_program(path: Path, program: str, preparation: str) -> Callable[..., Any]:
    """Load a program of any kind; raises ArtifactRefused for a kind this version does not know."""
    if preparation not in PREPARATIONS:
        raise ArtifactRefused(f"This host cannot prepare a program by {preparation!r}.", _UPDATE)
    if program == AOTINDUCTOR:
        return load_package(path)
    if program not in {TORCHSCRIPT, ELASTIC_INFERENCE}:
        raise ArtifactRefused(f"This host cannot run a {program!r} program.", _UPDATE)
    module = load_program(path, preparation)
    if preparation == CUDA_GRAPH:
        return Replay(module)
    return on_gpu(module) if preparation == CUDA else module


def load_program(path: Path, preparation: str) -> torch.jit.ScriptModule:
    """Load a TorchScript program, onto the CPU unless it is prepared for a GPU; its bytes are verified."""
    device = "cuda" if preparation in {CUDA, CUDA_GRAPH} else "cpu"
    with torchscript_expected():
        program = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
    return prepare(program, preparation)
