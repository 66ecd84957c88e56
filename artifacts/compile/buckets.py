"""Build one program for each bucket of sizes, all of one lane, and check them as a host will use them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch

from artifacts.compile.isolation import Outcome, isolated
from artifacts.compile.merging import merged
from artifacts.compile.parity import check, examine
from artifacts.compile.sizing import answering, fixed
from artifacts.errors import AmazoneiError, CompileError, VerificationFailed
from artifacts.manifest import Parity
from artifacts.serve.fitting import bucket_key, buckets, program_name
from artifacts.serve.opening import open_programs
from artifacts.serve.program import flatten
from artifacts.targets import Compiler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from artifacts.compile.packing import Label
    from artifacts.compile.parity import Case
    from artifacts.compile.pipeline import Build, Job
    from artifacts.compile.request import LaneReport
    from artifacts.compile.sizing import Run
    from artifacts.compile.subject import Subject
    from artifacts.serve.sampling import Tensors
    from artifacts.specs import Sizes

    Cases = tuple[Case, ...]
    Make = Callable[[Job, Subject, Cases], Build]

_CHECK_S = 900.0
_DEVICES = frozenset({Compiler.TORCH_NEURON.value, Compiler.TORCH_NEURONX.value})


def build_all(
    job: Job, make: Make, subject: Subject, cases: Cases, filled: Cases = ()
) -> tuple[Build, dict[str, Path]]:
    """Return what is said of the artifact, and its programs by their names in it, the largest first.

    The lanes race for the largest sizes; the winner's lane is made for all others, and must answer the
    requests in between (`filled`) once they are filled up. Where it cannot, the next lane of the race is
    taken, and the table says why. Raises the error of the only lane, or one with those of all.
    """
    largest = fixed(subject, buckets(subject.inputs)[0])
    first = make(job, largest, cases)
    failed: dict[str, CompileError] = {}
    for lane in first.ranking or ("",):
        try:
            best = make(dataclasses.replace(job, only=lane), largest, cases) if failed else first
            parity, programs = _for_all_sizes(dataclasses.replace(job, only=lane), make, subject, best)
            if filled and parity.passed:  # otherwise there is no device here to run them on
                parity = worse(parity, check_filled(subject, programs, best.label, filled))
        except CompileError as error:
            failed[lane] = error
            if lane:
                job.progress(f"lane {lane}: given up, {error.message}")
        else:
            given_up = tuple(_given_up(row, failed) for row in first.lanes)
            return dataclasses.replace(best, parity=parity, lanes=given_up), programs
    raise _no_lane(failed)


def _given_up(row: LaneReport, failed: Mapping[str, CompileError]) -> LaneReport:
    """Return a lane's row as it is, or as that of one that won for the largest sizes only."""
    error = failed.get(row.lane)
    return row if error is None else dataclasses.replace(row, passed=False, reason=error.message)


def _no_lane(failed: Mapping[str, CompileError]) -> CompileError:
    first, *others = failed.values()
    if not others:
        return first
    reasons = "; ".join(f"{lane}: {error.message.rstrip('.')}" for lane, error in failed.items())
    return VerificationFailed(f"No lane holds for all sizes. {reasons}.", first.hint)


def _for_all_sizes(job: Job, make: Make, subject: Subject, best: Build) -> tuple[Parity, dict[str, Path]]:
    """Return the programs of the job's lane, weights shared where they can be, and how they compare."""
    largest, *others = buckets(subject.inputs)
    programs = {bucket_key(subject.inputs, largest): best.program}
    parity = best.parity
    for bucket in others:
        build = _build_smaller(job, make, subject, bucket)
        programs[bucket_key(subject.inputs, bucket)] = build.program
        parity = worse(parity, build.parity)
    return parity, _named(job, subject, best.label, programs)


def _named(job: Job, subject: Subject, label: Label, programs: Mapping[str, Path]) -> dict[str, Path]:
    """Return the programs' files by their names in an artifact: one for all where weights are shared."""
    largest, *others = buckets(subject.inputs)
    if not others:
        return {program_name(subject.inputs, largest): programs[bucket_key(subject.inputs, largest)]}
    apart = sum(path.stat().st_size for path in programs.values())
    together, reason = _together(job, label, programs)
    if together is None:
        job.progress(
            f"{len(programs)} programs, {apart / 1e6:.1f} MB: each has weights of its own, because {reason}"
        )
        return {
            program_name(subject.inputs, bucket): programs[bucket_key(subject.inputs, bucket)]
            for bucket in (largest, *others)
        }
    size = together.stat().st_size
    job.progress(f"{len(programs)} programs in {size / 1e6:.1f} MB: apart they are {apart / 1e6:.1f} MB")
    return {program_name(subject.inputs, largest): together}


def _together(job: Job, label: Label, programs: Mapping[str, Path]) -> tuple[Path | None, str]:
    """Return one file that holds all programs, or why there is none."""
    if label.compiler in _DEVICES:
        return None, f"{label.compiler} compiles weights into them"
    outcome = merged(programs, label.program, job.scratch / "together.pt")
    return outcome.answer, outcome.reason


def _build_smaller(job: Job, make: Make, subject: Subject, bucket: Sizes) -> Build:
    sizes = said(bucket)
    job.progress(f"compiling for {sizes} …")
    scratch = job.scratch / bucket_key(subject.inputs, bucket)
    scratch.mkdir(exist_ok=True)  # there already where a lane was given up
    try:
        smaller, cases = examine(fixed(subject, bucket))
        return make(dataclasses.replace(job, scratch=scratch), smaller, cases)
    except AmazoneiError as error:
        raise type(error)(f"For {sizes}: {error.message}", error.hint) from error


def said(bucket: Sizes) -> str:
    """Return sizes as a person reads them."""
    return ", ".join(f"{axis.kind.value} {size}" for axis, size in bucket.items())


def worse(one: Parity, other: Parity) -> Parity:
    """Return both comparisons as one; -1 says that answers could not be compared, or were not."""
    unknown = min(one.max_abs_diff, other.max_abs_diff) < 0
    return Parity(
        max_abs_diff=-1.0 if unknown else max(one.max_abs_diff, other.max_abs_diff),
        atol=one.atol,
        passed=one.passed and other.passed,
        inputs_checked=one.inputs_checked + other.inputs_checked,
    )


def check_filled(subject: Subject, programs: Mapping[str, Path], label: Label, cases: Cases) -> Parity:
    """Compare the programs, used as a host uses them, with eager on requests that must be filled up.

    Raises VerificationFailed when they differ.
    """

    def work() -> tuple[Parity, str]:
        opened = open_programs(programs, subject.inputs, label.program, label.preparation)
        return check(answering(subject, lambda key: _run(opened[key], subject)), cases, label.atol)

    # A device that this process has opened is not open in a fork of it.
    outcome = Outcome(work()) if label.compiler in _DEVICES else isolated(work, _CHECK_S)
    if outcome.answer is None:
        raise VerificationFailed(
            f"The programs could not be checked on requests in between: {outcome.reason}."
        )
    parity, reason = outcome.answer
    if not parity.passed:
        raise VerificationFailed(
            f"A request that is filled up is not answered like eager answers it as it is: {reason}.",
            "Give every dimension one size, or raise --atol.",
        )
    return parity


def _run(program: Callable[..., object], subject: Subject) -> Run:
    def run(inputs: Tensors) -> list[torch.Tensor]:
        with torch.inference_mode():
            return flatten(program(*(inputs[spec.name] for spec in subject.inputs)))

    return run
