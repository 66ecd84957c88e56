"""The golden request: inputs and the eager model's answer, carried by every artifact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from safetensors.torch import load_file

from artifacts.serve.program import GOLDEN_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from artifacts.serve.sampling import Tensors

_INPUT, _OUTPUT = "input.", "output."


@dataclass(frozen=True, slots=True)
class Golden:
    """One request and its answer."""

    inputs: Tensors
    outputs: Tensors


def golden_tensors(inputs: Tensors, outputs: Tensors) -> Tensors:
    """Return both under names that tell them apart, as the file holds them."""
    named = {f"{_INPUT}{name}": tensor for name, tensor in inputs.items()}
    return named | {f"{_OUTPUT}{name}": tensor.contiguous() for name, tensor in outputs.items()}


def read_golden(directory: Path) -> Golden:
    """Read the golden request of an unpacked artifact."""
    tensors = load_file(directory / GOLDEN_NAME)
    return Golden(_with_prefix(tensors, _INPUT), _with_prefix(tensors, _OUTPUT))


def _with_prefix(tensors: Tensors, prefix: str) -> Tensors:
    return {name.removeprefix(prefix): tensors[name] for name in tensors if name.startswith(prefix)}
