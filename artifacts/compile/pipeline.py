"""Compile one request: load, check what eager says, make programs, keep the best that agrees, pack it."""

from __future__ import annotations

import platform
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from artifacts.compile.accuracy import Gate, gate_of
from artifacts.compile.buckets import build_all
from artifacts.compile.cache import cache_directory
from artifacts.compile.contender import Trial
from artifacts.compile.cuda import missing_gpu
from artifacts.compile.dummies import padding
from artifacts.compile.elastic_inference import crossing_warnings
from artifacts.compile.fit import refuse_misfit, refuse_misfit_directory
from artifacts.compile.flags import check_flags, parse_flags
from artifacts.compile.lanes import Course
from artifacts.compile.loading import artifact_name, load_model
from artifacts.compile.neuron_programs import NeuronJob, compile_neuron_program, device_present
from artifacts.compile.packing import Label, pack_program, write_evidence
from artifacts.compile.parity import Case, examine
from artifacts.compile.remembering import Won, win
from artifacts.compile.request import CompileRequest, CompileResult, LaneReport, Lanes
from artifacts.compile.sizing import followed, in_between, refuse_filling
from artifacts.compile.subject import Subject, prepare_subject
from artifacts.compile.timing import ROUND_S
from artifacts.compile.toolchain import import_neuron
from artifacts.compile.torchscript import save
from artifacts.errors import BadRequest, CompileError, ToolchainMissing
from artifacts.serve.program import ELASTIC_INFERENCE, NO_PREPARATION, TORCHSCRIPT
from artifacts.specs import padded, parse_pads, parse_specs
from artifacts.targets import Compiler, Target, find

if TYPE_CHECKING:
    from collections.abc import Callable

    from artifacts.compile.cache import Store
    from artifacts.manifest import Parity
    from artifacts.specs import TensorSpec

    Progress = Callable[[str], None]

_MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


def _unobserved() -> None:
    """Nobody waits for the model to have been read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a compile leaves behind for the next one."""

    store: Store | None = None  # None: nothing is taken from a cache or kept
    examined: Callable[[], None] = _unobserved  # called when all of the user's files were read


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """The program to pack and the evidence for it."""

    program: Path
    label: Label
    parity: Parity
    lanes: tuple[LaneReport, ...]
    warnings: tuple[str, ...] = ()
    ranking: tuple[str, ...] = ()  # lanes that passed, as the race calls them; this is the first's program


def compile_model(request: CompileRequest, progress: Progress, memory: Memory | None = None) -> CompileResult:
    """Return the artifact of the fastest lane that answers like the eager model."""
    memory = memory or Memory()
    target = find(request.target)
    check_flags(parse_flags(request.flags), target)
    specs = parse_specs(request.inputs)
    if not request.stand_in:
        refuse_misfit_directory(request.model, target.compiler, target.name)
    _refuse_missing_toolchain(request, target)
    torch.set_num_threads(1)  # timings and repeatability are stated for one thread
    progress(f"loading {request.model} …")
    loaded = load_model(request.model)
    name = artifact_name(request.name or loaded.name)
    misfit = _misfit(loaded.module, target, request)
    subject = prepare_subject(loaded.module, _with_padding(loaded.module, specs or loaded.inputs, request))
    progress("running eager for reference …")
    subject, cases = examine(followed(subject))
    gate = gate_of(request, target, subject, progress)
    filled = in_between(subject)
    refuse_filling(subject, filled, request.atol)
    memory.examined()
    with tempfile.TemporaryDirectory(prefix="amazonei-compile-") as scratch:
        job = Job(request, target, name, Path(scratch), progress, memory.store, gate)
        build, programs = build_all(job, _build, subject, cases, filled)
        artifact, manifest = pack_program(subject, programs, build.label, request.out_dir)
    result = CompileResult(
        artifact=artifact,
        digest=manifest.digest,
        name=name,
        target=target.name,
        lane=manifest.lane,
        stand_in=manifest.stand_in,
        parity=build.parity,
        lanes=build.lanes,
        warnings=(*misfit, *build.warnings),
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
    store: Store | None
    gate: Gate | None = None
    only: str = ""  # the lane that is made for all sizes


def _with_padding(
    module: torch.nn.Module, specs: tuple[TensorSpec, ...], request: CompileRequest
) -> tuple[TensorSpec, ...]:
    """Return the specs with the padding values of the user, else of the model's configuration, else 0."""
    named = parse_pads(request.pads)
    unknown = sorted(set(named) - {spec.name for spec in specs})
    if unknown:
        raise BadRequest(
            f"A padding value is given for {', '.join(unknown)}, which is no input.",
            f"The inputs are {', '.join(spec.name for spec in specs)}.",
        )
    return padded(specs, padding(module) | named)


def _misfit(module: torch.nn.Module, target: Target, request: CompileRequest) -> tuple[str, ...]:
    """Refuse a model that the family does not run; return what to say where a stand-in runs it."""
    try:
        refuse_misfit(module, target.compiler, target.name)
    except CompileError as error:
        if not request.stand_in:
            raise
        return (f"{error.message} The stand-in runs it all the same. {error.hint}",)
    return ()


def _refuse_missing_toolchain(request: CompileRequest, target: Target) -> None:
    """Say that a compiler is missing before the model is loaded, which can take a minute."""
    if request.stand_in:
        return
    if target.compiler in {Compiler.TORCH_NEURON, Compiler.TORCH_NEURONX}:
        import_neuron(target.compiler)
    reason = missing_gpu() if target.compiler is Compiler.CUDA else ""
    if reason:
        raise ToolchainMissing(
            f"No lane for {target.name} can be made here: {reason}.",
            "Compile on a machine with that GPU and a CUDA build of torch, or add --emulate for a CPU "
            "stand-in on an emulated host.",
        )


def _build(job: Job, subject: Subject, cases: tuple[Case, ...]) -> Build:
    if not job.request.stand_in and job.target.compiler in {Compiler.TORCH_NEURON, Compiler.TORCH_NEURONX}:
        return _build_for_neuron(job, subject, cases)
    return _build_from(win(_course(job, subject, cases), job.store), job)


def _course(job: Job, subject: Subject, cases: tuple[Case, ...]) -> Course:
    request, compiler = job.request, job.target.compiler
    trial = Trial(
        subject=subject,
        cases=cases,
        atol=request.atol,
        directory=job.scratch,
        lock=cache_directory() / "timing.lock",
        # The largest sizes decide which lane it is; the examples are of those.
        gate=None if job.only else job.gate,
        # Quick lanes are equal within a tenth.
        round_s=ROUND_S if request.lanes is Lanes.ALL else ROUND_S / 2,
        exact=request.lanes is Lanes.ALL,
    )
    return Course(
        method=request.method,
        lanes=request.lanes,
        trial=trial,
        transformed=compiler is not Compiler.TORCH_EIA or request.stand_in,
        native=request.stand_in or job.target.architecture == _machine(),
        gpu=compiler is Compiler.CUDA and not request.stand_in,
        progress=job.progress,
        only=job.only,
    )


def _machine() -> str:
    return _MACHINES.get(platform.machine().lower(), platform.machine())


def _build_from(won: Won, job: Job) -> Build:
    best = won.best
    lane, program = best.lane.name, best.lane.program
    if job.request.stand_in and job.target.compiler is not Compiler.TORCHSCRIPT:
        lane = f"cpu-stand-in-for-{job.target.compiler.value}"
    elif job.target.compiler is Compiler.TORCH_EIA:
        program = ELASTIC_INFERENCE
    label = replace(
        _label(job, lane, program, best.lane.preparation),
        requires=best.lane.requires,
    )
    return Build(
        program=best.lane.path,
        label=label,
        parity=best.parity,
        ranking=won.ranking,
        lanes=won.reports,
        warnings=won.warnings + (crossing_warnings(best.lane.path) if program == ELASTIC_INFERENCE else ()),
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


def _build_for_neuron(job: Job, subject: Subject, cases: tuple[Case, ...]) -> Build:
    """Compile with the Neuron SDK; without the device the program cannot be run here."""
    sdk = import_neuron(job.target.compiler)
    lane = job.target.compiler.value
    made = compile_neuron_program(
        NeuronJob(
            sdk=sdk,
            target=job.target,
            subject=subject,
            cases=cases,
            atol=job.request.atol,
            directory=job.scratch / "neuron",
            progress=job.progress,
            device=device_present(),
            flags=parse_flags(job.request.flags),
        )
    )
    program = job.scratch / "neuron.pt"
    save(made.module, program)
    placed = f"{made.placement.share:.0%} of the operators on Neuron"
    reason = f"{placed}; {made.note}" if made.note else placed
    return Build(
        program=program,
        label=replace(
            _label(job, lane, TORCHSCRIPT, NO_PREPARATION, str(getattr(sdk, "__version__", "unknown"))),
            flags=job.request.flags,
        ),
        parity=made.parity,
        lanes=(LaneReport(lane=lane, ms=None, passed=made.parity.passed, reason=reason),),
        warnings=(f"{lane}: {made.note}.",) if made.note else (),
    )
