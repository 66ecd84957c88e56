"""From a chosen lane to the artifact on disk, with the evidence beside it."""

from __future__ import annotations

import platform
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from artifacts import archive
from artifacts.compile.documents import write_document
from artifacts.compile.parity import GOLDEN_SEED
from artifacts.manifest import Manifest, Toolchain
from artifacts.serve.golden import Golden, golden_tensors
from artifacts.serve.program import GOLDEN_NAME, PROGRAM_NAME
from artifacts.serve.sampling import sample

if TYPE_CHECKING:
    from artifacts.compile.subject import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What the manifest says beside the files and tensors."""

    name: str
    target: str
    lane: str
    stand_in: bool
    preparation: str
    program: str
    atol: float
    compiler: str
    compiler_version: str
    requires: tuple[str, ...] = ()


def pack_program(subject: Subject, program: Path, label: Label, out_dir: Path) -> tuple[Path, Manifest]:
    """Write the archive of a saved program and its golden request."""
    with tempfile.TemporaryDirectory(prefix="amazonei-pack-") as scratch:
        golden = Path(scratch) / GOLDEN_NAME
        _write_golden(subject, golden)
        files = {PROGRAM_NAME: program, GOLDEN_NAME: golden}
        manifest = Manifest(
            name=label.name,
            target=label.target,
            lane=label.lane,
            stand_in=label.stand_in,
            program=label.program,
            preparation=label.preparation,
            atol=label.atol,
            inputs=subject.inputs,
            outputs=subject.outputs,
            toolchain=_toolchain(label),
            requires=label.requires,
            files=tuple(archive.digest_file(path, name) for name, path in sorted(files.items())),
        )
        return archive.pack(manifest, files, out_dir), manifest


def _toolchain(label: Label) -> Toolchain:
    return Toolchain(
        torch=str(torch.__version__),
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        compiler=label.compiler,
        compiler_version=label.compiler_version,
    )


def _write_golden(subject: Subject, path: Path) -> None:
    """Write one request, not used for tracing or checking, and the eager answer."""
    inputs = sample(subject.inputs, GOLDEN_SEED)
    names = [spec.name for spec in subject.outputs]
    outputs = dict(zip(names, subject.run(inputs), strict=True))
    save_file(golden_tensors([Golden(inputs, outputs)]), path)


def write_evidence(artifact: Path, evidence: dict[str, Any]) -> None:
    """Write what was measured, and on what machine, beside the artifact."""
    document = {
        **evidence,
        "machine": {
            "architecture": platform.machine(),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads(),
        },
    }
    write_document(archive.evidence_path(artifact), document)
