"""Compile one request: load, check what eager says, make programs, keep the best that agrees, pack it."""

from __future__ import annotations

import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from artifacts.compile import neuron, neuronx
from artifacts.compile.lanes import Course, Race, choose, race
from artifacts.compile.loading import artifact_name, load_model
from artifacts.compile.packing import Label, pack_program, write_evidence
from artifacts.compile.parity import EXAMPLE_SEED, Case, reference_cases
from artifacts.compile.request import CompileRequest, CompileResult, LaneReport
from artifacts.compile.subject import Subject, prepare_subject
from artifacts.compile.toolchain import import_neuron
from artifacts.compile.torchscript import save
from artifacts.errors import ToolchainMissing
from artifacts.manifest import Parity, parse_specs
from artifacts.serve.program import ELASTIC_INFERENCE, NO_PREPARATION, TORCHSCRIPT
from artifacts.serve.sampling import sample
from artifacts.targets import Compiler, Target, find

if TYPE_CHECKING:
    from collections.abc import Callable

    Progress = Callable[[str], None]

_MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
UNCHECKED = "not run here: it needs the device, where the golden request decides"


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """The program to pack and the evidence for it."""

    program: Path
    label: Label
    parity: Parity
    lanes: tuple[LaneReport, ...]
    warnings: tuple[str, ...] = ()


def compile_model(request: CompileRequest, progress: Progress) -> CompileResult:
    """Return the artifact of the fastest lane that answers like the eager model."""
    target = find(request.target)
    specs = parse_specs(request.inputs)
    _refuse_missing_toolchain(request, target)
    torch.set_num_threads(1)  # timings and repeatability are stated for one thread
    progress(f"loading {request.model} …")
    loaded = load_model(request.model)
    name = artifact_name(request.name or loaded.name)
    subject = prepare_subject(loaded.module, specs)
    progress("running eager for reference …")
    cases = reference_cases(subject)
    with tempfile.TemporaryDirectory(prefix="amazonei-compile-") as scratch:
        build = _build(Job(request, target, name, Path(scratch), progress), subject, cases)
        artifact, manifest = pack_program(subject, build.program, build.label, request.out_dir)
    result = CompileResult(
        artifact=artifact,
        digest=manifest.digest,
        name=name,
        target=target.name,
        lane=manifest.lane,
        stand_in=manifest.stand_in,
        parity=build.parity,
        lanes=build.lanes,
        warnings=build.warnings,
    )
    write_evidence(artifact, result.as_document())
    progress(f"packed {artifact.name} ({manifest.lane})")
    return result


@dataclass(frozen=True, slots=True)
class Job:
    """A request with everything resolved that does not depend on the model's answers."""

    request: CompileRequest
    target: Target
    name: str
    scratch: Path
    progress: Progress


def _refuse_missing_toolchain(request: CompileRequest, target: Target) -> None:
    """Say that a compiler is missing before the model is loaded, which can take a minute."""
    if request.stand_in:
        return
    if target.compiler in {Compiler.TORCH_NEURON, Compiler.TORCH_NEURONX}:
        import_neuron(target.compiler)
    if target.compiler is Compiler.CUDA:
        raise ToolchainMissing(
            f"{target.name} needs a CUDA lane, which this version does not make.",
            "Choose a CPU or Neuron target, or add --emulate for a CPU stand-in on an emulated host.",
        )


def _build(job: Job, subject: Subject, cases: tuple[Case, ...]) -> Build:
    if not job.request.stand_in and job.target.compiler in {Compiler.TORCH_NEURON, Compiler.TORCH_NEURONX}:
        return _build_for_neuron(job, subject)
    result = race(subject, cases, _course(job))
    return _build_from(result, job)


def _course(job: Job) -> Course:
    plain = job.target.compiler is Compiler.TORCH_EIA and not job.request.stand_in
    return Course(
        method=job.request.method,
        atol=job.request.atol,
        directory=job.scratch,
        transformed=not plain,
        native=job.request.stand_in or job.target.architecture == _machine(),
        progress=job.progress,
    )


def _machine() -> str:
    return _MACHINES.get(platform.machine().lower(), platform.machine())


def _build_from(result: Race, job: Job) -> Build:
    best = choose(result)
    lane, program = best.lane.name, TORCHSCRIPT
    if job.request.stand_in and job.target.compiler is not Compiler.TORCHSCRIPT:
        lane = f"cpu-stand-in-for-{job.target.compiler.value}"
    elif job.target.compiler is Compiler.TORCH_EIA:
        program = ELASTIC_INFERENCE
    label = _label(job, lane, program, best.lane.preparation)
    return Build(
        program=best.lane.program,
        label=label,
        parity=best.parity,
        lanes=result.reports,
        warnings=result.warnings,
    )


def _label(job: Job, lane: str, program: str, preparation: str, version: str = "") -> Label:
    stand_in = job.request.stand_in and job.target.compiler is not Compiler.TORCHSCRIPT
    return Label(
        name=job.name,
        target=job.target.name,
        lane=lane,
        stand_in=stand_in,
        preparation=preparation,
        program=program,
        atol=job.request.atol,
        compiler=Compiler.TORCHSCRIPT.value if stand_in else job.target.compiler.value,
        compiler_version=version or str(torch.__version__),
    )


def _build_for_neuron(job: Job, subject: Subject) -> Build:
    """Compile with the Neuron SDK; without the device the program cannot be run here."""
    sdk = import_neuron(job.target.compiler)
    lane = job.target.compiler.value
    job.progress(f"{lane}: tracing and compiling, which takes minutes …")
    example = subject.arguments(sample(subject.inputs, EXAMPLE_SEED))
    if job.target.compiler is Compiler.TORCH_NEURON:
        module = neuron.compile_program(sdk, subject, list(example), job.scratch / "neuron")
    else:
        options = neuronx.trace_options(job.target.instance_type or job.target.name, job.scratch / "neuron")
        module = neuronx.compile_program(sdk, subject, example, options)
    program = job.scratch / "neuron.pt"
    save(module, program)
    version = str(getattr(sdk, "__version__", "unknown"))
    return Build(
        program=program,
        label=_label(job, lane, TORCHSCRIPT, NO_PREPARATION, version),
        parity=Parity(max_abs_diff=-1.0, atol=job.request.atol, passed=False, inputs_checked=0),
        lanes=(LaneReport(lane=lane, ms=None, passed=False, reason=UNCHECKED),),
        warnings=(f"{lane}: {UNCHECKED}.",),
    )
