"""Inputs that drive a model to the other sides of its branches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from artifacts.serve.sampling import integer_range, sample, torch_dtype

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from artifacts.serve.sampling import Tensors
    from artifacts.specs import TensorSpec

    Change = Callable[[torch.Tensor], torch.Tensor]

_BASE_SEED = 5  # seeds below are the example's, the checks' and the golden request's
_OTHER_SEEDS = range(6, 30)


def _spike(tensor: torch.Tensor, value: float) -> torch.Tensor:
    """Return the tensor with one outstanding number, in its first place."""
    changed = tensor.clone()
    changed.view(-1)[:1] = value
    return changed


_CHANGES: tuple[Change, ...] = (
    torch.neg,
    lambda tensor: tensor * 100,
    lambda tensor: tensor * -100,
    lambda tensor: tensor * 0.01,
    torch.abs,
    lambda tensor: -tensor.abs(),
    lambda tensor: tensor.flatten().sort().values.view(tensor.shape),
    lambda tensor: tensor.flatten().sort(descending=True).values.view(tensor.shape),
    lambda tensor: torch.full_like(tensor, 1e4),
    lambda tensor: torch.full_like(tensor, -1e4),
    lambda tensor: _spike(tensor, 1e3),
    lambda tensor: _spike(tensor, -1e3),
    lambda tensor: _spike(tensor, 0.0),
)
_NOT_NUMBERS: tuple[Change, ...] = (
    lambda tensor: _spike(tensor, float("nan")),
    lambda tensor: _spike(tensor, float("inf")),
)


def driven_inputs(specs: tuple[TensorSpec, ...]) -> Iterator[Tensors]:
    """Yield requests from usual to extreme, every value inside the range of its spec.

    NaN and infinity come last, and only for floats whose spec declares no range.
    """
    base = sample(specs, _BASE_SEED)
    yield from _changed(specs, base, _CHANGES)
    for seed in _OTHER_SEEDS:
        yield sample(specs, seed)
    yield from _constants(specs, base)
    open_floats = tuple(
        spec for spec in specs if spec.low is None and torch_dtype(spec.dtype).is_floating_point
    )
    yield from _changed(open_floats, base, _NOT_NUMBERS)


def _changed(specs: tuple[TensorSpec, ...], base: Tensors, changes: tuple[Change, ...]) -> Iterator[Tensors]:
    """Yield the base with each change made to all inputs, then to one at a time."""
    groups = [specs, *((spec,) for spec in specs)] if len(specs) > 1 else [specs]
    for group in groups:
        for change in changes:
            yield base | {spec.name: _within(spec, change(base[spec.name].double())) for spec in group}


def _constants(specs: tuple[TensorSpec, ...], base: Tensors) -> Iterator[Tensors]:
    """Yield the base with one integer input constant, at each of its first values."""
    for spec in specs:
        if not torch_dtype(spec.dtype).is_floating_point:
            low, high = integer_range(spec)
            for value in range(low, min(high, low + 8)):
                yield base | {spec.name: torch.full_like(base[spec.name], value)}


def _within(spec: TensorSpec, tensor: torch.Tensor) -> torch.Tensor:
    dtype = torch_dtype(spec.dtype)
    if not dtype.is_floating_point:
        low, high = integer_range(spec)
        return tensor.nan_to_num().clamp(low, high - 1).to(dtype)
    if spec.low is not None and spec.high is not None:
        # The upper end is excluded; a step below it is still inside after rounding.
        tensor = tensor.clamp(spec.low, spec.high - (spec.high - spec.low) / 1024)
    return tensor.to(dtype)
