"""Input tensors from specs: the same seed gives the same tensors on every machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from artifacts.specs import TensorSpec

Tensors = dict[str, torch.Tensor]


def torch_dtype(name: str) -> torch.dtype:
    """Return torch's dtype of this name."""
    dtype = getattr(torch, name)
    if not isinstance(dtype, torch.dtype):
        raise TypeError(f"{name} is not a dtype")
    return dtype


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name a spec uses for the dtype."""
    return str(dtype).removeprefix("torch.")


def sample(specs: tuple[TensorSpec, ...], seed: int) -> Tensors:
    """Return one request of random tensors."""
    generator = torch.Generator().manual_seed(seed)
    return {spec.name: _random(spec, generator) for spec in specs}


def _random(spec: TensorSpec, generator: torch.Generator) -> torch.Tensor:
    dtype = torch_dtype(spec.dtype)
    if not dtype.is_floating_point:
        low, high = integer_range(spec)
        return torch.randint(low, high, spec.shape, generator=generator).to(dtype)
    if spec.low is None or spec.high is None:
        return torch.randn(spec.shape, generator=generator).to(dtype)
    return torch.empty(spec.shape).uniform_(spec.low, spec.high, generator=generator).to(dtype)


def integer_range(spec: TensorSpec) -> tuple[int, int]:
    """Return [low, high) of an integer or bool spec."""
    if spec.low is not None and spec.high is not None:
        return int(spec.low), int(spec.high)
    return (0, 256) if spec.dtype == "uint8" else (0, 2)


def edge_values(spec: TensorSpec) -> tuple[float, ...]:
    """Return constants that make data-dependent branches take their other side."""
    if not torch_dtype(spec.dtype).is_floating_point:
        low, high = integer_range(spec)
        return (low, high - 1, (low + high - 1) // 2)
    if spec.low is None or spec.high is None:
        return (-1.0, 1.0, 0.0)
    # The upper end is excluded from the range, so the constant stays a step below it.
    return (spec.low, spec.high - (spec.high - spec.low) / 1024, (spec.low + spec.high) / 2)


def edge_samples(specs: tuple[TensorSpec, ...]) -> tuple[Tensors, ...]:
    """Return requests of constant tensors: all at the low end, at the high end, and in the middle."""
    edges = [edge_values(spec) for spec in specs]
    return tuple(
        {
            spec.name: torch.full(spec.shape, values[position], dtype=torch_dtype(spec.dtype))
            for spec, values in zip(specs, edges, strict=True)
        }
        for position in range(3)
    )
