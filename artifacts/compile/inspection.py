"""Look inside an artifact: what it computes, with what, and how much of it there is."""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts.archive import open_verified
from artifacts.serve.program import NO_PREPARATION, PROGRAM_NAME, load_program

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from artifacts.manifest import Manifest

CONTROL_FLOW = frozenset({"prim::If", "prim::Loop"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What a program holds."""

    manifest: Manifest
    operators: tuple[tuple[str, int], ...]  # most frequent first
    control_flow: int  # branches and loops that are still there
    parameters: int  # numbers in weights and tensor constants
    parameter_bytes: int
    dtypes: tuple[str, ...]
    graph: str
    code: str

    def as_document(self) -> dict[str, Any]:
        """Return the inspection as JSON members."""
        return {
            "digest": self.manifest.digest,
            "name": self.manifest.name,
            "target": self.manifest.target,
            "lane": self.manifest.lane,
            "stand_in": self.manifest.stand_in,
            "preparation": self.manifest.preparation,
            "inputs": [spec.as_document() for spec in self.manifest.inputs],
            "outputs": [spec.as_document() for spec in self.manifest.outputs],
            "toolchain": self.manifest.toolchain.as_document(),
            "operators": dict(self.operators),
            "control_flow": self.control_flow,
            "parameters": self.parameters,
            "parameter_bytes": self.parameter_bytes,
            "dtypes": list(self.dtypes),
            "graph": self.graph,
            "code": self.code,
        }


def inspect_artifact(path: Path) -> Inspection:
    """Open, verify and describe an artifact; raises ArtifactRefused before anything is loaded."""
    with closing(open_verified(path)) as contents, tempfile.TemporaryDirectory() as scratch:
        contents.unpack(Path(scratch))
        program = load_program(Path(scratch) / PROGRAM_NAME, NO_PREPARATION)
        return describe(contents.manifest, program)


def describe(manifest: Manifest, program: torch.jit.ScriptModule) -> Inspection:
    """Return what a loaded program holds; calls into sub-modules are followed."""
    graph = program.inlined_graph
    counts = Counter(node.kind() for node in _nodes(graph))
    operators = {kind: count for kind, count in counts.items() if not kind.startswith("prim::")}
    flow = {kind: count for kind, count in counts.items() if kind in CONTROL_FLOW}
    tensors = _tensors(program, graph)
    ranked = sorted((operators | flow).items(), key=lambda item: (-item[1], item[0]))
    return Inspection(
        manifest=manifest,
        operators=tuple(ranked),
        control_flow=sum(flow.values()),
        parameters=sum(tensor.numel() for tensor in tensors),
        parameter_bytes=sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        dtypes=tuple(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors})),
        graph=str(graph),
        code=str(program.code),
    )


def _nodes(block: Any) -> Iterator[Any]:
    """Yield the nodes of a graph or block, and of the blocks inside them."""
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes(inner)


def _tensors(program: torch.jit.ScriptModule, graph: Any) -> list[torch.Tensor]:
    """Return the weights: parameters and buffers, and the constants that freezing made of them."""
    constants = [node.t("value") for node in _nodes(graph) if _is_tensor_constant(node)]
    return [*program.parameters(), *program.buffers(), *constants]


def _is_tensor_constant(node: Any) -> bool:
    if node.kind() != "prim::Constant" or not node.hasAttribute("value"):
        return False
    return bool(node.kindOf("value") == "t")
