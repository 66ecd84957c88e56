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
from artifacts.compile.sizing import request_of, untraced
from artifacts.manifest import Manifest, Toolchain
from artifacts.serve.fitting import buckets
from artifacts.serve.golden import Golden, golden_tensors
from artifacts.serve.program import GOLDEN_NAME
from artifacts.serve.sampling import sample
from artifacts.specs import axes_of

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    flags: tuple[str, ...] = ()


def pack_program(
    subject: Subject, programs: Mapping[str, Path], label: Label, out_dir: Path
) -> tuple[Path, Manifest]:
    """Write the archive of saved programs, by their names in it, and of their golden requests."""
    with tempfile.TemporaryDirectory(prefix="amazonei-pack-") as scratch:
        golden = Path(scratch) / GOLDEN_NAME
        _write_golden(subject, golden)
        files = {**programs, GOLDEN_NAME: golden}
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
        flags=label.flags,
    )


def _write_golden(subject: Subject, path: Path) -> None:
    """Write requests, not used for tracing or checking, and the eager answers to them.

    The first has the largest sizes; where sizes vary there is one more for each program, to be filled up.
    """
    requests = [sample(subject.inputs, GOLDEN_SEED)]
    for bucket in buckets(subject.inputs) if axes_of(subject.inputs) else ():
        *_, sizes = untraced(subject.inputs, bucket)
        requests.append(request_of(subject.inputs, sizes, GOLDEN_SEED))
    names = [spec.name for spec in subject.outputs]
    goldens = [Golden(each, dict(zip(names, subject.run(each), strict=True))) for each in requests]
    save_file(golden_tensors(goldens), path)


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
