"""Look inside an artifact: what it computes, with what, and how much of it there is."""

from __future__ import annotations

import json
import math
import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from artifacts.archive import evidence_path, open_verified
from artifacts.compile.graph import CONTROL_FLOW, constant_tensors, fused, named_devices, nodes
from artifacts.serve.aotinductor import package_layout
from artifacts.serve.fitting import bucket_key, buckets
from artifacts.serve.golden import read_golden
from artifacts.serve.opening import in_one_file
from artifacts.serve.program import (
    AOTINDUCTOR,
    NO_PREPARATION,
    PROGRAM_NAME,
    load_program,
)

if TYPE_CHECKING:
    from artifacts.manifest import Manifest

_SPECIALISING_RUNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What a program holds."""

    manifest: Manifest
    operators: tuple[tuple[str, int], ...]  # most frequent first
    control_flow: int  # branches and loops that are still there
    erased: tuple[str, ...]  # what the compiler said a trace lost, from the evidence beside the artifact
    constants: int  # tensors folded into the graph
    fused: tuple[tuple[str, int], ...]  # kinds that stand for several operators, once the program ran
    devices: tuple[str, ...]  # that the program is bound to, other than the CPU
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
            "program": self.manifest.program,
            "programs": len(buckets(self.manifest.inputs)),
            "preparation": self.manifest.preparation,
            "requires": list(self.manifest.requires),
            "inputs": [spec.as_document() for spec in self.manifest.inputs],
            "outputs": [spec.as_document() for spec in self.manifest.outputs],
            "toolchain": self.manifest.toolchain.as_document(),
            "operators": dict(self.operators),
            "control_flow": self.control_flow,
            "control_flow_erased": list(self.erased),
            "constants_folded": self.constants,
            "fused": dict(self.fused),
            "devices": list(self.devices),
            "parameters": self.parameters,
            "parameter_bytes": self.parameter_bytes,
            "dtypes": list(self.dtypes),
            "graph": self.graph,
            "code": self.code,
        }


def inspect_artifact(path: Path) -> Inspection:
    """Open, verify and describe an artifact; raises ArtifactRefused before anything is loaded."""
    with closing(open_verified(path)) as contents, tempfile.TemporaryDirectory() as scratch:
        manifest = contents.manifest
        contents.unpack(Path(scratch))
        if manifest.program == AOTINDUCTOR:
            return _machine_code(manifest, Path(scratch) / PROGRAM_NAME, _erased(path))
        program_path, part = Path(scratch) / PROGRAM_NAME, _largest(manifest)
        program = load_program(program_path, NO_PREPARATION, part)
        ran = load_program(program_path, manifest.preparation, part)
        inputs = read_golden(Path(scratch)).inputs
        groups = _fused(ran, [inputs[spec.name] for spec in manifest.inputs])
    return describe(manifest, program, groups, _erased(path))


def _machine_code(manifest: Manifest, package: Path, erased: tuple[str, ...]) -> Inspection:
    """Return what machine code tells of itself: its weights; it has no graph any more."""
    weights = package_layout(package, _largest(manifest))
    return Inspection(
        manifest=manifest,
        operators=(),
        control_flow=0,
        erased=erased,
        constants=len(weights),
        fused=(),
        devices=(),
        parameters=sum(math.prod(weight.shape) for weight in weights),
        parameter_bytes=sum(weight.size for weight in weights),
        dtypes=tuple(sorted({weight.dtype for weight in weights})),
        graph="",
        code="",
    )


def _largest(manifest: Manifest) -> str:
    """Return the name of the program for the largest sizes in a file that holds several, else nothing."""
    if not in_one_file([file.path for file in manifest.files], manifest.inputs):
        return ""
    return bucket_key(manifest.inputs, buckets(manifest.inputs)[0])


def _fused(program: torch.jit.ScriptModule, inputs: list[torch.Tensor]) -> tuple[tuple[str, int], ...]:
    """Return what the executor fused: it decides in its first runs, from the sizes it sees."""
    found = fused(program.inlined_graph)
    try:
        with torch.inference_mode():
            for _ in range(_SPECIALISING_RUNS):
                program(*inputs)
            executed = program.graph_for(*inputs)
        found |= fused(executed)
    except RuntimeError:
        pass  # a program for a device that is not here: its saved graph is all there is to see
    return tuple(found.items())


def _erased(path: Path) -> tuple[str, ...]:
    evidence = evidence_path(path)
    if not evidence.is_file():
        return ()
    warnings = json.loads(evidence.read_bytes()).get("warnings", [])
    return tuple(str(warning) for warning in warnings if "erased" in str(warning))


def describe(
    manifest: Manifest,
    program: torch.jit.ScriptModule,
    groups: tuple[tuple[str, int], ...] = (),
    erased: tuple[str, ...] = (),
) -> Inspection:
    """Return what a loaded program holds; calls into sub-modules are followed."""
    graph = program.inlined_graph
    counts = Counter(node.kind() for node in nodes(graph))
    operators = {kind: count for kind, count in counts.items() if not kind.startswith("prim::")}
    flow = {kind: count for kind, count in counts.items() if kind in CONTROL_FLOW}
    constants = constant_tensors(graph)
    tensors = [*program.parameters(), *program.buffers(), *constants]
    devices = {str(tensor.device) for tensor in tensors if tensor.device.type != "cpu"}
    return Inspection(
        manifest=manifest,
        operators=tuple(sorted((operators | flow).items(), key=lambda item: (-item[1], item[0]))),
        control_flow=sum(flow.values()),
        erased=erased,
        constants=len(constants),
        fused=groups,
        devices=tuple(sorted(devices | set(named_devices(graph)))),
        parameters=sum(tensor.numel() for tensor in tensors),
        parameter_bytes=sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        dtypes=tuple(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors})),
        graph=str(graph),
        code=_code(program),
    )


def _code(program: torch.jit.ScriptModule) -> str:
    """Return the code of the program and of the modules it calls, each once, under their names."""
    found: dict[str, str] = {}
    for name, module in program.named_modules():
        try:
            found.setdefault(str(module.code), name or "the program")
        except (AttributeError, RuntimeError):
            continue  # a module that only holds others
    return "\n".join(f"# {name}\n{code}" for code, name in found.items())


def compare(one: Inspection, other: Inspection) -> dict[str, Any]:
    """Return what differs between two artifacts: [first, second] for each member, and for each operator."""
    first, second = one.as_document(), other.as_document()
    changed = {
        key: [first[key], second[key]]
        for key in first
        if key not in {"operators", "graph", "code"} and first[key] != second[key]
    }
    left, right = dict(one.operators), dict(other.operators)
    operators = {
        kind: [left.get(kind, 0), right.get(kind, 0)]
        for kind in sorted(left | right)
        if left.get(kind, 0) != right.get(kind, 0)
    }
    return {"changed": changed, "operators": operators, "same_code": one.code == other.code}
