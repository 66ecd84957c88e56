"""Read a TorchScript graph: its nodes, what is folded into it, what is fused, where its tensors are."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

CONTROL_FLOW = frozenset({"prim::If", "prim::Loop"})
# Groups that an optimiser made of several operators, and operators that stand for several.
_FUSED_GROUPS = frozenset(
    {"prim::FusionGroup", "prim::CudaFusionGroup", "prim::TensorExprGroup", "prim::oneDNNFusionGroup"}
)
_FUSED_PREFIXES = (
    "prim::mkldnn_",
    "mkldnn_prepacked::",
    "mkldnn::",
    "onednn::",
    "llga::",
    "prepacked::",
    "neuron::",
)


def nodes(block: Any) -> Iterator[Any]:
    """Yield the nodes of a graph or block, and of the blocks inside them."""
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from nodes(inner)


def constant_tensors(graph: Any) -> list[torch.Tensor]:
    """Return the tensors folded into the graph."""
    return [node.t("value") for node in nodes(graph) if _holds_tensor(node)]


def _holds_tensor(node: Any) -> bool:
    if node.kind() != "prim::Constant" or not node.hasAttribute("value"):
        return False
    return bool(node.kindOf("value") == "t")


def fused(graph: Any) -> dict[str, int]:
    """Return the kinds that stand for several operators, and how many of each there are."""
    kinds = Counter(node.kind() for node in nodes(graph))
    return {
        kind: count
        for kind, count in sorted(kinds.items())
        if kind in _FUSED_GROUPS or kind.startswith(_FUSED_PREFIXES)
    }


def named_devices(graph: Any) -> tuple[str, ...]:
    """Return the devices, other than the CPU, that constants of the graph name: a program bound to them."""
    devices = set()
    for node in nodes(graph):
        if node.kind() == "prim::Constant" and str(node.output().type()) == "Device":
            devices.add(str(node.output().toIValue()))
    return tuple(sorted(device for device in devices if not device.startswith("cpu")))
