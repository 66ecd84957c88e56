"""Programs: how they are loaded, prepared after loading, and how their answers are read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from artifacts.errors import ArtifactRefused, BadRequest
from artifacts.serve.aotinductor import load_package, load_parts
from artifacts.serve.cuda import Replay, on_gpu

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
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
    return _placed(load_program(path, preparation), preparation)


def open_parts(
    path: Path, parts: Iterable[str], program: str, preparation: str
) -> dict[str, Callable[..., Any]]:
    """Load all programs of a file that holds several, equal weights once; raises ArtifactRefused."""
    if program == AOTINDUCTOR:
        return load_parts(path, parts)
    if program != TORCHSCRIPT or preparation not in PREPARATIONS:
        raise ArtifactRefused(f"This host has no {program!r} programs for several sizes in one.", _UPDATE)
    together = _loaded(path, preparation)
    return {part: _placed(prepare(_part(together, part), preparation), preparation) for part in parts}


def part_name(part: str) -> str:
    """Return what a program for some sizes is called among others in one file."""
    return f"for_{part}"


def _part(together: torch.jit.ScriptModule, part: str) -> torch.jit.ScriptModule:
    found = getattr(together, part_name(part), None)
    if not isinstance(found, torch.jit.ScriptModule):
        raise ArtifactRefused(f"The artifact has no program for {part}.", "Compile the model again.")
    return found


def load_program(path: Path, preparation: str, part: str = "") -> torch.jit.ScriptModule:
    """Load a TorchScript program, or the named one of several; its bytes are verified.

    It is loaded onto the CPU unless it is prepared for a GPU.
    """
    loaded = _loaded(path, preparation)
    return prepare(_part(loaded, part) if part else loaded, preparation)


def _loaded(path: Path, preparation: str) -> torch.jit.ScriptModule:
    device = "cuda" if preparation in {CUDA, CUDA_GRAPH} else "cpu"
    with torchscript_expected():
        loaded: torch.jit.ScriptModule = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
    return loaded


def _placed(module: torch.jit.ScriptModule, preparation: str) -> Callable[..., Any]:
    if preparation == CUDA_GRAPH:
        return Replay(module)
    return on_gpu(module) if preparation == CUDA else module
