"""One program for NeuronCores, through every gate: the model fits, the trace holds, the device runs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from artifacts.compile import neuron, neuronx
from artifacts.compile.generalisation import erased_by, refuse_unproven
from artifacts.compile.parity import EXAMPLE_SEED, check
from artifacts.compile.placement import (
    LEAST_SHARE,
    Placement,
    operator_count,
    placement,
    refuse_drift,
    refuse_fallback,
)
from artifacts.compile.torchscript import trace
from artifacts.errors import CompileError, VerificationFailed
from artifacts.manifest import Parity
from artifacts.serve.program import flatten
from artifacts.serve.sampling import sample
from artifacts.targets import Compiler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from artifacts.compile.parity import Case
    from artifacts.compile.subject import Subject
    from artifacts.serve.sampling import Tensors
    from artifacts.targets import Target

UNCHECKED = "not run here: it needs the device, where the golden request decides"
_DEVICE_FILE = Path("/dev/neuron0")


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuronJob:
    """What is compiled with which SDK, and the cases that its answers are held to."""

    sdk: Any  # torch_neuron or torch_neuronx
    target: Target
    subject: Subject
    cases: tuple[Case, ...]
    atol: float
    directory: Path
    progress: Callable[[str], None]
    device: bool  # whether this machine can run the program
    flags: Mapping[str, str] = field(default_factory=dict)  # of artifacts.compile.flags, checked


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuronProgram:
    """The compiled program, where its operators are, and its answers when there was a device to give them."""

    module: torch.jit.ScriptModule
    placement: Placement
    parity: Parity
    note: str


def device_present() -> bool:
    """Return whether this machine has a Neuron device."""
    return _DEVICE_FILE.exists()


def compile_neuron_program(job: NeuronJob) -> NeuronProgram:
    """Return the program; raises CompileError at the first gate that it does not pass."""
    operators = _operators(job)
    job.progress(f"{job.target.compiler.value}: compiling {operators} operators, which takes minutes …")
    module = _compiled(job)
    found = placement(module, operators)
    job.progress(f"{found.share:.0%} of the operators are on Neuron, in {found.segments} part(s)")
    refuse_fallback(found, _least_share(job))
    parity, note = _parity(job, module)
    return NeuronProgram(module=module, placement=found, parity=parity, note=note)


def _least_share(job: NeuronJob) -> float:
    """Return the share of operators that must be on the device: what was asked for, else the gate's."""
    if job.target.compiler is Compiler.TORCH_NEURON:
        return LEAST_SHARE
    return neuronx.NeuronXOptions.of(job.flags).support_threshold


def _operators(job: NeuronJob) -> int:
    """Return how many operators the model has; raises CompileError where a trace of it is wrong."""
    program = trace(job.subject, sample(job.subject.inputs, EXAMPLE_SEED))
    erased = erased_by(job.subject, program.warned)
    refuse_unproven(job.subject, erased)
    parity, reason = check(_run(program.module, job.subject), job.cases, job.atol)
    if not parity.passed:
        raise VerificationFailed(
            f"A trace of the model does not answer like it: {reason}.",
            " ".join(f"It erased control flow at {warning}." for warning in erased)
            or "Neuron compiles traces only.",
        )
    return operator_count(program.module)


def _compiled(job: NeuronJob) -> torch.jit.ScriptModule:
    example = job.subject.arguments(sample(job.subject.inputs, EXAMPLE_SEED))
    if job.target.compiler is Compiler.TORCH_NEURON:
        job.progress(neuron.analyze(job.sdk, job.subject, example))
        options = neuron.trace_options(job.subject.model, job.directory, neuron.NeuronOptions.of(job.flags))
        return neuron.compile_program(job.sdk, job.subject, example, options)
    return _compiled_whole_or_in_parts(job, example)


def _compiled_whole_or_in_parts(job: NeuronJob, example: tuple[torch.Tensor, ...]) -> torch.jit.ScriptModule:
    """Compile for Inf2 or Trn; what the device does not know goes to the CPU, as far as the gate allows."""
    choices = neuronx.NeuronXOptions.of(job.flags)
    kind = job.target.instance_type or job.target.name
    options = neuronx.trace_options(kind, job.directory, choices)
    try:
        return neuronx.compile_program(job.sdk, job.subject, example, options)
    except CompileError as whole:
        job.progress(f"not as a whole ({whole.message}); in parts …")
        try:
            parts = neuronx.partitioner_options(choices)
            return neuronx.compile_program(job.sdk, job.subject, example, options, parts)
        except CompileError as error:
            raise CompileError(f"{whole.message} In parts: {error.message}", whole.hint) from error


def _parity(job: NeuronJob, module: torch.jit.ScriptModule) -> tuple[Parity, str]:
    if not job.device:
        return Parity(max_abs_diff=-1.0, atol=job.atol, passed=False, inputs_checked=0), UNCHECKED
    parity, reason = check(_run(module, job.subject), job.cases, job.atol)
    refuse_drift(parity, reason)
    return parity, ""


def _run(program: torch.jit.ScriptModule, subject: Subject) -> Callable[[Tensors], list[torch.Tensor]]:
    def run(inputs: Tensors) -> list[torch.Tensor]:
        with torch.inference_mode():
            return flatten(program(*subject.arguments(inputs)))

    return run
