"""The ways to make a program for the CPU: each is saved, loaded, checked and timed as a host would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.utils.benchmark import Timer

from artifacts.compile.parity import EXAMPLE_SEED, Case, check
from artifacts.compile.request import LaneReport, Method
from artifacts.compile.torchscript import Program, freeze, save, script, trace
from artifacts.errors import CompileError, VerificationFailed
from artifacts.serve.program import NO_PREPARATION, OPTIMIZE_FOR_INFERENCE, flatten, load_program
from artifacts.serve.sampling import sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from artifacts.compile.subject import Subject
    from artifacts.manifest import Parity
    from artifacts.serve.sampling import Tensors

# This close to the fastest, the plainer lane is chosen: timings repeat no better, and a request costs
# the server tenths of a millisecond anyway.
_TIE = 1.10
_TIE_MS = 0.05
_ROUNDS = 3
_ROUND_S = 0.07
_WARM_UP_RUNS = 3  # TorchScript specialises in its first runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What a race is run with."""

    method: Method
    atol: float
    directory: Path  # for the saved programs
    transformed: bool  # False: plain TorchScript only, for a runtime that is not this one
    native: bool  # False: nothing that depends on this machine's instruction set
    progress: Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A saved program and what a host does to it after loading."""

    name: str
    program: Path
    preparation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A lane with its answers compared and its time taken."""

    lane: Lane
    parity: Parity
    ms: float
    reason: str

    def report(self) -> LaneReport:
        """Return the row of the lanes table."""
        return LaneReport(
            lane=self.lane.name, ms=round(self.ms, 4), passed=self.parity.passed, reason=self.reason
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """The lanes that could be made, reports of all, and what the tracer warned of."""

    checked: tuple[Checked, ...]
    reports: tuple[LaneReport, ...]
    warnings: tuple[str, ...] = ()


def race(subject: Subject, cases: tuple[Case, ...], course: Course) -> Race:
    """Make, check and time every lane; one that cannot be made is a row with its reason."""
    heats = [_heat(method, subject, cases, course) for method in _methods(course.method, subject)]
    return Race(
        checked=tuple(checked for heat in heats for checked in heat.checked),
        reports=(_eager(subject), *(report for heat in heats for report in heat.reports)),
        warnings=tuple(warning for heat in heats for warning in heat.warnings),
    )


def choose(race: Race) -> Checked:
    """Return the plainest lane near the fastest that passed; raises VerificationFailed if none did.

    A trace that erased control flow yields to a script that passed: agreeing on our inputs is weaker
    evidence than having kept the branch.
    """
    passed = [checked for checked in race.checked if checked.parity.passed]
    if race.warnings:
        scripted = [checked for checked in passed if checked.lane.name.startswith(Method.SCRIPT.value)]
        passed = scripted or passed
    if not passed:
        raise _nothing_passed(race)
    fastest = min(checked.ms for checked in passed)
    close = max(fastest * _TIE, fastest + _TIE_MS)
    return next(checked for checked in passed if checked.ms <= close)


def _nothing_passed(race: Race) -> CompileError:
    reasons = "; ".join(f"{row.lane}: {row.reason}" for row in race.reports if not row.passed)
    hint = (
        " ".join(race.warnings) or "Change the model so that it can be traced or scripted, or raise --atol."
    )
    if not race.checked:
        return CompileError(f"The model can be neither traced nor scripted. {reasons}.", hint)
    return VerificationFailed(f"No compiled program answers like the eager model. {reasons}.", hint)


def _methods(method: Method, subject: Subject) -> tuple[Method, ...]:
    if isinstance(subject.model, torch.jit.ScriptModule):
        return (Method.SCRIPT,)
    return (Method.TRACE, Method.SCRIPT) if method is Method.AUTO else (method,)


def _heat(method: Method, subject: Subject, cases: tuple[Case, ...], course: Course) -> Race:
    course.progress("scripting …" if method is Method.SCRIPT else "tracing …")
    try:
        program = script(subject) if method is Method.SCRIPT else _trace(subject)
    except CompileError as error:
        reason = " ".join(filter(None, (error.message, error.hint)))
        course.progress(f"lane {method.value}: {reason}")
        return Race(
            checked=(), reports=(LaneReport(lane=method.value, ms=None, passed=False, reason=reason),)
        )
    checked = tuple(_checked(lane, subject, cases, course) for lane in _lanes(method, program, course))
    return Race(
        checked=checked,
        reports=tuple(lane.report() for lane in checked),
        warnings=tuple(f"The trace erased control flow at {place}." for place in program.erased),
    )


def _trace(subject: Subject) -> Program:
    return trace(subject, sample(subject.inputs, EXAMPLE_SEED))


def _lanes(method: Method, program: Program, course: Course) -> list[Lane]:
    """Save the plain and the frozen program; the third lane is the frozen one, optimised after loading."""
    plain = course.directory / f"{method.value}.pt"
    save(program.module, plain)
    lanes = [Lane(name=method.value, program=plain, preparation=NO_PREPARATION)]
    if not course.transformed:
        return lanes
    frozen = course.directory / f"{method.value}-freeze.pt"
    try:
        save(freeze(program.module), frozen)
    except CompileError as error:
        course.progress(f"lane {method.value}+freeze: {error.message}")
        return lanes
    name = f"{method.value}+freeze"
    lanes.append(Lane(name=name, program=frozen, preparation=NO_PREPARATION))
    if course.native:
        lanes.append(Lane(name=f"{name}+optimize", program=frozen, preparation=OPTIMIZE_FOR_INFERENCE))
    return lanes


def _checked(lane: Lane, subject: Subject, cases: tuple[Case, ...], course: Course) -> Checked:
    program = load_program(lane.program, lane.preparation)

    def run(inputs: Tensors) -> list[torch.Tensor]:
        with torch.inference_mode():
            return flatten(program(*subject.arguments(inputs)))

    parity, reason = check(run, cases, course.atol)
    ms = _median_ms(program, subject) if parity.passed else 0.0
    checked = Checked(lane=lane, parity=parity, ms=ms, reason=reason)
    course.progress(_line(checked))
    return checked


def _line(checked: Checked) -> str:
    if not checked.parity.passed:
        return f"lane {checked.lane.name}: refused, {checked.reason}"
    return f"lane {checked.lane.name} {checked.ms:.2f} ms, max |diff| {checked.parity.max_abs_diff:.0e} ok"


def _eager(subject: Subject) -> LaneReport:
    """Return the yardstick's row: it cannot be shipped, because it needs the user's Python."""
    ms = _median_ms(subject.flat, subject)
    return LaneReport(lane="eager", ms=round(ms, 4), passed=True, reason="the reference, not an artifact")


def _median_ms(run: Callable[..., object], subject: Subject) -> float:
    """Return the time of one request on one thread, in milliseconds.

    The least of three medians: whatever else runs on this machine only ever adds.
    """
    inputs = subject.arguments(sample(subject.inputs, EXAMPLE_SEED))
    with torch.inference_mode():
        for _ in range(_WARM_UP_RUNS):
            run(*inputs)
        timer = Timer(stmt="run(*inputs)", globals={"run": run, "inputs": inputs}, num_threads=1)
        rounds = (timer.blocked_autorange(min_run_time=_ROUND_S) for _ in range(_ROUNDS))
        return min(float(round_.median) for round_ in rounds) * 1e3
