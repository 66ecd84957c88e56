"""Run TorchScript on a GPU: weights moved there, and one captured graph replayed per request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils._pytree import tree_map_only

if TYPE_CHECKING:
    from collections.abc import Callable

_WARM_UP_RUNS = 3  # capture forbids what TorchScript's profiling and cuDNN's first calls do


def on_gpu(program: Callable[..., Any]) -> Callable[..., Any]:
    """Return a callable that takes its inputs from the CPU and returns its answer there."""

    def run(*inputs: torch.Tensor) -> Any:
        return _home(program(*(tensor.cuda() for tensor in inputs)))

    return run


class Replay:
    """A program of fixed shapes behind one CUDA graph, captured by the first request (https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs)."""

    def __init__(self, program: Callable[..., Any]) -> None:
        self._program = program
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[torch.Tensor] = []
        self._answer: Any = None

    def __call__(self, *inputs: torch.Tensor) -> Any:
        """Copy the inputs in, replay, and copy the answer out."""
        if self._graph is None:
            self._graph = self._captured(inputs)
        for place, value in zip(self._inputs, inputs, strict=True):
            place.copy_(value)
        self._graph.replay()
        return _home(self._answer)

    def _captured(self, inputs: tuple[torch.Tensor, ...]) -> torch.cuda.CUDAGraph:
        self._inputs = [tensor.cuda() for tensor in inputs]
        # Capture must not follow work on the default stream.
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP_RUNS):
                self._program(*self._inputs)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._answer = self._program(*self._inputs)
        return graph


def _home(answer: Any) -> Any:
    return tree_map_only(torch.Tensor, lambda tensor: tensor.cpu(), answer)
