"""Golden requests: inputs and the eager model's answers, carried by every artifact, one for each program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from safetensors.torch import load_file

from artifacts.serve.program import GOLDEN_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from artifacts.serve.sampling import Tensors

_INPUT, _OUTPUT = "input.", "output."


@dataclass(frozen=True, slots=True)
class Golden:
    """One request and its answer."""

    inputs: Tensors
    outputs: Tensors


def golden_tensors(goldens: Sequence[Golden]) -> Tensors:
    """Return all under names that tell them apart, as the file holds them."""
    return {
        f"{prefix}{name}": tensor.contiguous()
        for index, golden in enumerate(goldens)
        for prefix, tensors in zip(_prefixes(index), (golden.inputs, golden.outputs), strict=True)
        for name, tensor in tensors.items()
    }


def read_goldens(directory: Path) -> tuple[Golden, ...]:
    """Read the golden requests of an unpacked artifact; the first has the largest sizes."""
    tensors = load_file(directory / GOLDEN_NAME)
    goldens: list[Golden] = []
    while outputs := _with_prefix(tensors, _prefixes(len(goldens))[1]):
        goldens.append(Golden(_with_prefix(tensors, _prefixes(len(goldens))[0]), outputs))
    return tuple(goldens)


def read_golden(directory: Path) -> Golden:
    """Read the golden request of the largest sizes."""
    return read_goldens(directory)[0]


def _prefixes(index: int) -> tuple[str, str]:
    number = f"{index}." if index else ""
    return f"{number}{_INPUT}", f"{number}{_OUTPUT}"


def _with_prefix(tensors: Tensors, prefix: str) -> Tensors:
    return {name.removeprefix(prefix): tensors[name] for name in tensors if name.startswith(prefix)}
