"""Fit requests to the sizes that programs were compiled for: stack, fill up, and cut the answers back.

A program has fixed shapes. A request between two sizes is filled up to the next larger one: its rows with
copies of the first row, its lengths with each input's padding value, which a mask has as 0. That the answer
does not depend on what was filled in was checked when the artifact was compiled.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import pad

from artifacts.axes import Axis, Kind
from artifacts.errors import BadRequest
from artifacts.serve.program import PROGRAM_NAME
from artifacts.specs import Sizes, TensorSpec, axes_of, batch_axis

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from artifacts.serve.sampling import Tensors

Specs = tuple[TensorSpec, ...]


def sizes_of(specs: Specs, inputs: Tensors) -> dict[Axis, int]:
    """Return the size of each axis in a request; raises BadRequest outside of the range or at odds."""
    sizes: dict[Axis, int] = {}
    for spec in specs:
        for dimension, axis in spec.axes:
            size = inputs[spec.name].shape[dimension]
            axis.bucket(size)
            if sizes.setdefault(axis, size) != size:
                raise BadRequest(
                    f"Dimension {dimension} of {spec.name} is {size}, and {sizes[axis]} in another input; "
                    f"the {axis.kind.value} of a request is one."
                )
    return sizes


def bucket_of(sizes: Sizes) -> dict[Axis, int]:
    """Return the sizes of the smallest program that holds these."""
    return {axis: axis.bucket(size) for axis, size in sizes.items()}


def bucket_key(specs: Specs, bucket: Sizes) -> str:
    """Return what names a program among others, such as `4x128`; nothing for fixed sizes."""
    return "x".join(str(bucket[axis]) for axis in axes_of(specs))


def buckets(specs: Specs) -> tuple[dict[Axis, int], ...]:
    """Return the sizes of every program, the largest first."""
    axes = axes_of(specs)
    every = product(*(reversed(axis.buckets) for axis in axes))
    return tuple(dict(zip(axes, sizes, strict=True)) for sizes in every)


def of_one(specs: Specs) -> Specs:
    """Return the specs of a request with the fewest rows and the largest lengths."""
    sizes = {axis: axis.low if axis.kind is Kind.BATCH else axis.high for axis in axes_of(specs)}
    return tuple(spec.at(sizes) for spec in specs)


def program_name(specs: Specs, bucket: Sizes) -> str:
    """Return the file that holds a program; the largest one's has the plain name."""
    largest = all(size == axis.high for axis, size in bucket.items())
    return PROGRAM_NAME if largest else f"program-{bucket_key(specs, bucket)}.pt"


def fits(shape: tuple[int, ...], spec: TensorSpec) -> bool:
    """Whether a tensor of this shape may be given, as far as its own dimensions say."""
    varying = dict(spec.axes)
    return len(shape) == len(spec.shape) and all(
        varying[index].low <= size <= varying[index].high if index in varying else size == spec.shape[index]
        for index, size in enumerate(shape)
    )


def fill(tensor: torch.Tensor, spec: TensorSpec, bucket: Sizes) -> torch.Tensor:
    """Return the input filled up to the sizes of a program."""
    for dimension, axis in spec.axes:
        missing = bucket[axis] - tensor.shape[dimension]
        if missing > 0 and axis.kind is Kind.BATCH:
            copies = tensor.narrow(dimension, 0, 1).expand(missing, *tensor.shape[1:])
            tensor = torch.cat([tensor, copies], dimension)
        elif missing > 0:
            after = len(tensor.shape) - 1 - dimension
            value = bool(spec.pad) if spec.dtype == "bool" else spec.pad
            tensor = pad(tensor, (0, 0) * after + (0, missing), value=value)
    return tensor


def cut(tensor: torch.Tensor, spec: TensorSpec, sizes: Sizes, first_row: int = 0) -> torch.Tensor:
    """Return the part of an output that answers a request of these sizes, whose rows begin at this one."""
    for dimension, axis in spec.axes:
        start = first_row if axis.kind is Kind.BATCH else 0
        tensor = tensor.narrow(dimension, start, sizes[axis])
    return tensor


@dataclass(frozen=True, slots=True)
class Stack:
    """Requests that one run of a program answers."""

    sizes: tuple[dict[Axis, int], ...]  # of each request
    bucket: dict[Axis, int]
    inputs: Tensors  # filled up to the bucket

    def answers(self, outputs: Specs, answer: Sequence[torch.Tensor]) -> Iterator[Tensors]:
        """Yield each request's part of the program's answer."""
        row = 0
        for sizes in self.sizes:
            yield {
                spec.name: cut(tensor, spec, sizes, row) for spec, tensor in zip(outputs, answer, strict=True)
            }
            row += next((size for axis, size in sizes.items() if axis.kind is Kind.BATCH), 0)


def stacked(specs: Specs, requests: Iterable[Tensors]) -> Iterator[Stack]:
    """Yield the requests, in order, as few stacks: rows together as far as the largest batch takes them."""
    batch = batch_axis(specs)
    waiting: list[tuple[Tensors, dict[Axis, int]]] = []
    for request in requests:
        sizes = sizes_of(specs, request)
        rows = sum(each[batch] for _, each in waiting) + sizes[batch] if batch else 0
        if waiting and (batch is None or rows > batch.high):
            yield _stack(specs, waiting)
            waiting = []
        waiting.append((request, sizes))
    if waiting:
        yield _stack(specs, waiting)


def _stack(specs: Specs, waiting: list[tuple[Tensors, dict[Axis, int]]]) -> Stack:
    sizes = tuple(each for _, each in waiting)
    together = {
        axis: (sum if axis.kind is Kind.BATCH else max)(each[axis] for each in sizes) for axis in sizes[0]
    }
    bucket = bucket_of(together)
    lengths = {axis: size for axis, size in bucket.items() if axis.kind is Kind.LENGTH}
    inputs = {}
    for spec in specs:
        rows = [_fill_lengths(request[spec.name], spec, lengths) for request, _ in waiting]
        inputs[spec.name] = fill(rows[0] if len(rows) == 1 else torch.cat(rows), spec, bucket)
    return Stack(sizes, bucket, inputs)


def _fill_lengths(tensor: torch.Tensor, spec: TensorSpec, lengths: Sizes) -> torch.Tensor:
    """Return one request's input with its lengths filled up, and its rows as they are."""
    return fill(tensor, spec, {axis: tensor.shape[index] for index, axis in spec.axes} | dict(lengths))
