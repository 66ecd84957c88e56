"""The Neuron gate: how much of a compiled program is on the device, and how far its answers drifted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artifacts.compile.graph import nodes
from artifacts.errors import CompileError, VerificationFailed

if TYPE_CHECKING:
    import torch

    from artifacts.manifest import Parity

LEAST_SHARE = 0.9
_DEVICE = "neuron::"  # torch_neuron's and torch_neuronx's operators: neuron::forward, neuron::forward_v2, …
# What arranges tensors around a compiled part costs the host next to nothing.
_FREE = frozenset(
    {"aten::view", "aten::reshape", "aten::detach", "aten::contiguous", "aten::to", "aten::size", "aten::Int"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the operators of a compiled program run."""

    segments: int  # compiled parts on the device
    on_host: tuple[tuple[str, int], ...]  # operators left to the CPU, most frequent first
    share: float  # of the model's operators, counted in its eager trace, that are on the device


def placement(program: torch.jit.ScriptModule, operators: int) -> Placement:
    """Return where a compiled program's operators run; `operators`: how many the plain trace has.

    A compiled segment hides the operators that went into it, so the share is told by those left outside.
    """
    kinds = Counter(node.kind() for node in nodes(program.inlined_graph))
    segments = sum(count for kind, count in kinds.items() if kind.startswith(_DEVICE))
    left = {kind: count for kind, count in kinds.items() if kind.startswith("aten::") and kind not in _FREE}
    outside = min(sum(left.values()), operators)
    share = (operators - outside) / operators if operators and segments else 0.0
    ranked = sorted(left.items(), key=lambda item: (-item[1], item[0]))
    return Placement(segments=segments, on_host=tuple(ranked), share=share)


def operator_count(program: torch.jit.ScriptModule) -> int:
    """Return how many operators a plain trace has, those that only arrange tensors left out."""
    return sum(
        node.kind().startswith("aten::") and node.kind() not in _FREE for node in nodes(program.inlined_graph)
    )


def refuse_fallback(found: Placement, least_share: float = LEAST_SHARE) -> None:
    """Raise CompileError for a program that the host's CPU would run, wholly or in too large a part."""
    left = ", ".join(f"{kind} ({count})" for kind, count in found.on_host[:8]) or "none"
    if not found.segments:
        raise CompileError(
            "No operator was placed on Neuron: the compiler fell back to the CPU without failing.",
            f"Operators left to the CPU: {left}.",
        )
    if found.share < least_share:
        raise CompileError(
            f"Only {found.share:.0%} of the operators were placed on Neuron; {least_share:.0%} must be.",
            f"Operators left to the CPU: {left}.",
        )


def refuse_drift(parity: Parity, reason: str) -> None:
    """Raise VerificationFailed when the device's answers are not eager's."""
    if not parity.passed:
        raise VerificationFailed(
            f"The Neuron program does not answer like the eager model: {reason}.",
            "Keep fp32 (--auto-cast none; --fp32-cast matmult on Inf1), or raise --atol.",
        )
