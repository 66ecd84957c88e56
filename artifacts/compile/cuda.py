"""The lanes for a GPU: single and half precision, with and without a captured CUDA graph."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from artifacts.compile.layout import Reshaped
from artifacts.compile.recording import record
from artifacts.compile.torchscript import freeze
from artifacts.serve.program import CUDA, CUDA_GRAPH

if TYPE_CHECKING:
    from artifacts.compile.subject import Subject


@dataclass(frozen=True, slots=True)
class CudaLane:
    """One way to make a program for a GPU."""

    name: str
    half: bool
    preparation: str


LANES = (
    CudaLane("cuda", half=False, preparation=CUDA),
    CudaLane("cuda+graph", half=False, preparation=CUDA_GRAPH),
    CudaLane("cuda+half", half=True, preparation=CUDA),
    CudaLane("cuda+half+graph", half=True, preparation=CUDA_GRAPH),
)


def missing_gpu() -> str:
    """Return why no GPU lane can be made here, or nothing."""
    if not torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]
        return f"torch {torch.__version__} is built without CUDA"
    return "" if torch.cuda.is_available() else "there is no GPU here"


def recorded(
    lane: CudaLane, subject: Subject, example: tuple[torch.Tensor, ...], device: str = "cuda"
) -> torch.jit.ScriptModule:
    """Return the model, recorded and frozen on the GPU; in half precision torch keeps what needs fp32."""
    inner = copy.deepcopy(subject.flat).to(device)
    dtypes = tuple(getattr(torch, spec.dtype) for spec in subject.outputs)
    model = Reshaped(inner, dtypes, channels_last=False)
    model.training = False
    with torch.autocast(device, torch.float16, enabled=lane.half, cache_enabled=False):
        module = record(model, tuple(tensor.to(device) for tensor in example))
    return freeze(module)
