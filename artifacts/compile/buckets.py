"""Build one program for each bucket of sizes, all of one lane, and check them as a host will use them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from artifacts.compile.isolation import Outcome, isolated
from artifacts.compile.parity import check, examine
from artifacts.compile.sizing import answering, fixed
from artifacts.errors import AmazoneiError, VerificationFailed
from artifacts.manifest import Parity
from artifacts.serve.fitting import bucket_key, buckets, program_name
from artifacts.serve.program import flatten, open_program
from artifacts.targets import Compiler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import torch

    from artifacts.compile.packing import Label
    from artifacts.compile.parity import Case
    from artifacts.compile.pipeline import Build, Job
    from artifacts.compile.sizing import Run
    from artifacts.compile.subject import Subject
    from artifacts.serve.sampling import Tensors
    from artifacts.specs import Sizes

    Make = Callable[[Job, Subject, tuple[Case, ...]], Build]

_CHECK_S = 900.0
_DEVICES = frozenset({Compiler.TORCH_NEURON.value, Compiler.TORCH_NEURONX.value})


def build_all(
    job: Job, make: Make, subject: Subject, cases: tuple[Case, ...]
) -> tuple[Build, dict[str, Path]]:
    """Return what is said of the artifact, and its programs by their names in it, the largest first.

    The lanes race for the largest sizes; the winner's lane is made for all others. Raises the errors of one
    build, with the sizes it was for.
    """
    largest, *others = buckets(subject.inputs)
    best = make(job, fixed(subject, largest), cases)
    programs = {program_name(subject.inputs, largest): best.program}
    parity = best.parity
    for bucket in others:
        build = _build_smaller(job, make, subject, bucket, best)
        programs[program_name(subject.inputs, bucket)] = build.program
        parity = worse(parity, build.parity)
    if others:
        total = sum(path.stat().st_size for path in programs.values())
        job.progress(f"{len(programs)} programs, {total / 1e6:.1f} MB: each has weights of its own")
    return dataclasses.replace(best, parity=parity), programs


def _build_smaller(job: Job, make: Make, subject: Subject, bucket: Sizes, best: Build) -> Build:
    sizes = said(bucket)
    job.progress(f"compiling for {sizes} …")
    scratch = job.scratch / bucket_key(subject.inputs, bucket)
    scratch.mkdir()
    try:
        smaller, cases = examine(fixed(subject, bucket))
        return make(dataclasses.replace(job, scratch=scratch, only=best.won), smaller, cases)
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


def check_filled(
    subject: Subject, programs: Mapping[str, Path], label: Label, cases: tuple[Case, ...]
) -> Parity:
    """Compare the programs, used as a host uses them, with eager on requests that must be filled up.

    Raises VerificationFailed when they differ.
    """
    names = {
        bucket_key(subject.inputs, each): program_name(subject.inputs, each)
        for each in buckets(subject.inputs)
    }

    def work() -> tuple[Parity, str]:
        opened: dict[str, Run] = {}

        def program(key: str) -> Run:
            if key not in opened:
                opened[key] = _opened(programs[names[key]], label, subject)
            return opened[key]

        return check(answering(subject, program), cases, label.atol)

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


def _opened(path: Path, label: Label, subject: Subject) -> Run:
    program = open_program(path, label.program, label.preparation)

    def run(inputs: Tensors) -> list[torch.Tensor]:
        return flatten(program(*(inputs[spec.name] for spec in subject.inputs)))

    return run
