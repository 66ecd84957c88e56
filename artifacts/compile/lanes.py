"""The race: every lane the target allows is made, checked and timed; the fastest that agrees is kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from artifacts.compile import recipes
from artifacts.compile.contender import Checked, Trial, eager_report, run_lane, time_again
from artifacts.compile.finals import settle
from artifacts.compile.recipes import Recorded
from artifacts.compile.request import LaneReport, Lanes, Method
from artifacts.errors import CompileError, VerificationFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from artifacts.compile.methods import Heat
    from artifacts.compile.recipes import Recipe

# This close to the fastest, the plainer lane is chosen: it has less that can go wrong on a host. The quick
# race times less, so what it calls equal is wider. A request costs the server tenths of a millisecond anyway.
_TIE = {Lanes.QUICK: 1.10, Lanes.ALL: 1.01}
_TIE_MS = {Lanes.QUICK: 0.1, Lanes.ALL: 0.02}
_FINAL_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What a race is run with."""

    method: Method
    lanes: Lanes
    trial: Trial
    transformed: bool  # False: plain TorchScript only, for a runtime that is not this one
    native: bool  # False: nothing that depends on this machine's architecture
    gpu: bool  # lanes for a GPU instead of the CPU's
    progress: Callable[[str], None]
    only: str = ""  # the lane that won for other sizes of the same model: an artifact has one


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """The lanes that could be made, reports of all, and what the tracer warned of."""

    checked: tuple[Checked, ...]
    reports: tuple[LaneReport, ...]
    warnings: tuple[str, ...] = ()
    tie: float = _TIE[Lanes.QUICK]
    tie_ms: float = _TIE_MS[Lanes.ALL]


def race(course: Course, found: tuple[Heat, ...]) -> Race:
    """Make, check and time every lane; one that cannot be made is a row with its reason."""
    recorded = [
        Recorded(name=heat.method, module=heat.program.module, erased=heat.program.erased)
        for heat in found
        if heat.program is not None
    ]
    rows: list[Checked | LaneReport] = [_no_program(heat) for heat in found if heat.program is None]
    for recipe in _recipes(recorded, course):
        if course.only not in ("", recipe.name):
            continue
        rows.append(run_lane(recipe, course.trial))
        course.progress(_line(rows[-1]))
    if course.only and len(rows) == len(found) - len(recorded):
        raise CompileError(f"The lane {course.only} cannot be made for these sizes.")
    checked = _finals([row for row in rows if isinstance(row, Checked)], course)
    final = {each.lane.name: each.report() for each in checked}
    reports = [final[row.lane.name] if isinstance(row, Checked) else row for row in rows]
    erased = dict.fromkeys(place for heat in found for place in heat.erased)
    return Race(
        checked=tuple(checked),
        reports=(eager_report(course.trial), *reports),
        warnings=tuple(f"The trace erased control flow at {place}." for place in erased),
        tie=_TIE[course.lanes],
        tie_ms=_TIE_MS[course.lanes],
    )


def choose(race: Race) -> Checked:
    """Return the plainest lane near the fastest that passed; raises VerificationFailed if none did.

    A lane that erased control flow yields to any that kept it: agreeing on our inputs is weaker evidence
    than having kept the branch.
    """
    passed = [checked for checked in race.checked if checked.passed]
    passed = [checked for checked in passed if not checked.lane.erased] or passed
    if not passed:
        raise _nothing_passed(race)
    fastest = min(checked.ms for checked in passed)
    close = max(fastest * race.tie, fastest + race.tie_ms)
    return next(checked for checked in passed if checked.ms <= close)


def ranking(race: Race) -> tuple[str, ...]:
    """Return the lanes that passed, in the order in which they are chosen."""
    left = tuple(checked for checked in race.checked if checked.passed)
    names: list[str] = []
    while left:
        best = choose(replace(race, checked=left))
        names.append(best.lane.name)
        left = tuple(checked for checked in left if checked is not best)
    return tuple(names)


def _nothing_passed(race: Race) -> CompileError:
    reasons = "; ".join(f"{row.lane}: {row.reason}" for row in race.reports if not row.passed)
    hint = (
        " ".join(race.warnings) or "Change the model so that it can be traced or scripted, or raise --atol."
    )
    if not race.checked:
        return CompileError(f"The model can be neither traced nor scripted. {reasons}.", hint)
    return VerificationFailed(f"No compiled program answers like the eager model. {reasons}.", hint)


def _no_program(heat: Heat) -> LaneReport:
    return LaneReport(lane=heat.method, ms=None, passed=False, reason=heat.reason)


def _recipes(recorded: list[Recorded], course: Course) -> Iterator[Recipe]:
    """Yield the lanes to try, plainest first; those that only cost a second before the compiled ones."""
    for program in recorded:
        yield from _of_program(program, course)
    if course.lanes is Lanes.ALL and course.transformed and course.native and not course.gpu:
        yield from recipes.compiled(course.trial.subject)


def _of_program(program: Recorded, course: Course) -> Iterator[Recipe]:
    subject = course.trial.subject
    if course.gpu:
        yield from recipes.on_gpu(program, subject)
        return
    yield recipes.plain(program)
    if course.transformed:
        yield from recipes.frozen(program, native=course.native)
        if course.lanes is Lanes.ALL and course.native and program.name == Method.TRACE.value:
            yield from recipes.recorded_again(program, subject, course.trial.gate)


def _finals(checked: list[Checked], course: Course) -> list[Checked]:
    """Time those near the fastest again, until others' work on this machine cannot have decided."""
    passed = {each.lane.name: each for each in checked if each.passed}
    if course.lanes is Lanes.QUICK or len(passed) < 2:
        return checked
    course.progress("timing the fastest lanes again, in turns …")
    ms = settle(
        {name: each.ms for name, each in passed.items()},
        lambda name: time_again(passed[name], course.trial, _FINAL_TIMEOUT_S),
    )
    return [replace(each, ms=ms[each.lane.name]) if each.passed else each for each in checked]


def _line(row: Checked | LaneReport) -> str:
    if isinstance(row, LaneReport):
        return f"lane {row.lane}: {row.reason}"
    if not row.passed:
        return f"lane {row.lane.name}: refused, {row.reason}"
    return f"lane {row.lane.name} {row.ms:.2f} ms, max |diff| {row.parity.max_abs_diff:.0e} ok"
