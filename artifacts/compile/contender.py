"""One lane, from its recipe to its time, in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch

from artifacts.compile.isolation import isolated
from artifacts.compile.parity import EXAMPLE_SEED, Case, check
from artifacts.compile.request import LaneReport
from artifacts.compile.timing import ROUND_S, median_ms, timing_turn
from artifacts.errors import AmazoneiError
from artifacts.serve.program import flatten, open_program
from artifacts.serve.sampling import sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from artifacts.compile.accuracy import Gate
    from artifacts.compile.recipes import Recipe
    from artifacts.compile.subject import Subject
    from artifacts.manifest import Parity
    from artifacts.serve.sampling import Tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A saved program, and what a host does to it after loading."""

    name: str
    path: Path
    program: str
    preparation: str
    requires: tuple[str, ...] = ()
    erased: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A lane with its answers compared and its time taken."""

    lane: Lane
    parity: Parity
    ms: float
    reason: str  # why it was refused, else empty
    accuracy: float | None = None  # on the user's labelled examples, where there are any

    @property
    def passed(self) -> bool:
        """Whether it passed every gate."""
        return self.parity.passed and not self.reason

    def report(self) -> LaneReport:
        """Return the row of the lanes table."""
        return LaneReport(
            lane=self.lane.name,
            ms=round(self.ms, 4) if self.passed else None,
            passed=self.passed,
            reason=self.reason,
            accuracy=self.accuracy,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What every lane of a race is tried with."""

    subject: Subject
    cases: tuple[Case, ...]
    atol: float
    directory: Path  # for the saved programs
    lock: Path  # held while timing
    gate: Gate | None = None  # of labelled examples
    round_s: float = ROUND_S  # how long a lane is timed, three times
    exact: bool = True  # False: others may time beside it


def run_lane(recipe: Recipe, trial: Trial) -> Checked | LaneReport:
    """Make, load, check and time one lane; a row with the reason when that could not be done."""
    outcome = isolated(partial(_made, recipe, trial), recipe.timeout_s)
    if isinstance(outcome.answer, OSError):
        raise outcome.answer  # a full disk is no property of a lane
    if isinstance(outcome.answer, Checked):
        return outcome.answer
    reason = outcome.answer or outcome.reason
    return LaneReport(lane=recipe.name, ms=None, passed=False, reason=reason)


def _made(recipe: Recipe, trial: Trial) -> Checked | OSError | str:
    path = trial.directory / f"{recipe.name}.pt"
    try:
        requires = recipe.make(path)
    except AmazoneiError as error:
        return " ".join(filter(None, (error.message, error.hint)))
    except OSError as error:
        return error
    lane = Lane(
        name=recipe.name,
        path=path,
        program=recipe.program,
        preparation=recipe.preparation,
        requires=requires,
        erased=recipe.erased,
    )
    return _tried(lane, trial)


def _tried(lane: Lane, trial: Trial) -> Checked:
    program = open_program(lane.path, lane.program, lane.preparation)

    def answer(inputs: Tensors) -> list[torch.Tensor]:
        with torch.inference_mode():
            return flatten(program(*trial.subject.arguments(inputs)))

    parity, reason = check(answer, trial.cases, trial.atol)
    accuracy = None
    if trial.gate is not None and not reason:
        accuracy, reason = trial.gate.judge(answer)
    ms = 0.0 if reason else _timed(program, trial)
    return Checked(lane=lane, parity=parity, ms=ms, reason=reason, accuracy=accuracy)


def _timed(program: Callable[..., object], trial: Trial) -> float:
    inputs = trial.subject.arguments(sample(trial.subject.inputs, EXAMPLE_SEED))
    with timing_turn(trial.lock, alone=trial.exact):
        return median_ms(program, inputs, trial.round_s)


def time_again(checked: Checked, trial: Trial, timeout_s: float) -> float:
    """Return the milliseconds of a lane that is loaded once more; where it cannot be, its former ones."""
    lane = checked.lane

    def again() -> float:
        return _timed(open_program(lane.path, lane.program, lane.preparation), trial)

    ms = isolated(again, timeout_s).answer
    return checked.ms if ms is None else ms


def eager_report(trial: Trial) -> LaneReport:
    """Return the yardstick's row: it cannot be shipped, because it needs the user's Python."""
    outcome = isolated(partial(_timed, trial.subject.flat, trial), timeout_s=300.0)
    ms = None if outcome.answer is None else round(outcome.answer, 4)
    return LaneReport(
        lane="eager",
        ms=ms,
        passed=True,
        reason=outcome.reason or "the reference, not an artifact",
        accuracy=None if trial.gate is None else trial.gate.eager,
    )
