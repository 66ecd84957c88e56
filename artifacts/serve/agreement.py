"""How far two answers are apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

INCOMPARABLE = float("inf")


@dataclass(frozen=True, slots=True)
class Difference:
    """The largest absolute difference, or why the answers cannot be compared (value is infinite)."""

    value: float
    reason: str = ""


def difference(expected: Sequence[torch.Tensor], got: Sequence[torch.Tensor]) -> Difference:
    """Return how far two answers are apart; NaN and infinity must sit at the same places."""
    if len(expected) != len(got):
        return Difference(INCOMPARABLE, f"{len(got)} outputs instead of {len(expected)}")
    worst = 0.0
    for index, (wanted, tensor) in enumerate(zip(expected, got, strict=True)):
        if wanted.shape != tensor.shape or wanted.dtype != tensor.dtype:
            reason = f"output {index} is {_kind(tensor)} instead of {_kind(wanted)}"
            return Difference(INCOMPARABLE, reason)
        if not torch.equal(torch.isnan(wanted), torch.isnan(tensor)):
            return Difference(INCOMPARABLE, f"output {index} has NaN at other places")
        worst = max(worst, _largest(wanted, tensor))
    return Difference(worst)


def _kind(tensor: torch.Tensor) -> str:
    return f"{tensor.dtype}{list(tensor.shape)}".removeprefix("torch.")


def _largest(wanted: torch.Tensor, tensor: torch.Tensor) -> float:
    apart = (wanted.to(torch.float64) - tensor.to(torch.float64)).abs()
    apart[(wanted == tensor) | torch.isnan(wanted)] = 0.0  # equal infinities differ by NaN
    return float(apart.max()) if apart.numel() else 0.0
