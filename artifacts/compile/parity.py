"""Compare a compiled program with the eager model on inputs it was not made with."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from artifacts.compile.generalisation import search
from artifacts.compile.state import kept_state
from artifacts.compile.watching import REFUSALS, observe
from artifacts.errors import CompileError
from artifacts.manifest import Parity
from artifacts.serve.agreement import INCOMPARABLE, Difference, difference
from artifacts.serve.sampling import edge_samples, sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from artifacts.compile.subject import Subject
    from artifacts.serve.sampling import Tensors

EXAMPLE_SEED = 0  # programs are traced with this one, so it proves nothing
CHECK_SEEDS = (1, 2, 3)
GOLDEN_SEED = 4
DRAW_SEEDS = range(32)
_REPEATABLE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One request and the eager model's answer."""

    inputs: Tensors
    expected: list[torch.Tensor]


def examine(subject: Subject) -> tuple[Subject, tuple[Case, ...]]:
    """Return the subject with the lines that decide by values, and the requests to compare answers on.

    They are random requests of other seeds, constant ones, and what drives the decisions to other sides,
    each with the eager model's answer. Raises CompileError when the eager model does not repeat itself:
    nothing could be compared with it.
    """
    cases = [_case(subject, sample(subject.inputs, seed)) for seed in CHECK_SEEDS]
    _refuse_unrepeatable(subject, cases[0])
    cases += _answered(subject, edge_samples(subject.inputs))
    if isinstance(subject.model, torch.jit.ScriptModule):
        return subject, tuple(cases)  # it holds its control flow, and no Python to look at
    decisions, driven = search(subject, [case.inputs for case in cases])
    cases += _answered(subject, driven)
    return dataclasses.replace(subject, decisions=decisions), tuple(cases)


def _answered(subject: Subject, requests: Iterable[Tensors]) -> list[Case]:
    """Return the requests that the eager model can answer; one it refuses says nothing about the program."""
    cases = []
    for inputs in requests:
        with contextlib.suppress(*REFUSALS):
            cases.append(_case(subject, inputs))
    return cases


def _refuse_unrepeatable(subject: Subject, case: Case) -> None:
    """Raise CompileError, with the lines, for random numbers and for state that is kept between calls."""
    kept = kept_state(subject.model, lambda: subject.run(case.inputs))
    if kept:
        raise CompileError(
            f"The model remembers something between calls: {', '.join(kept)}.",
            "An artifact answers every request alike; pass what is remembered in as an input.",
        )
    drawn = dict.fromkeys(f"{name} at {place}" for place, name in observe(subject, case.inputs).random)
    if _repeats(subject, case, draws=bool(drawn)):
        return
    raise CompileError(
        "The model gives different answers to the same input"
        + (f": it draws random numbers with {', '.join(drawn)}." if drawn else "."),
        "Look for dropout called with training=True, random numbers, or state kept outside the model.",
    )


def _repeats(subject: Subject, case: Case, *, draws: bool) -> bool:
    """Return whether the answer stays the same, whatever numbers the model draws.

    A few drawn numbers come out alike by chance (dropout of four values: once in sixteen runs), so a model
    that draws any is run with many fixed seeds. One whose draws leave the answer alone repeats itself.
    """
    if not draws:
        return difference(case.expected, subject.run(case.inputs)).value <= _REPEATABLE
    with torch.random.fork_rng(devices=[]):
        return all(
            difference(case.expected, _seeded(subject, case.inputs, seed)).value <= _REPEATABLE
            for seed in DRAW_SEEDS
        )


def _seeded(subject: Subject, inputs: Tensors, seed: int) -> list[torch.Tensor]:
    torch.manual_seed(seed)
    return subject.run(inputs)


def _case(subject: Subject, inputs: Tensors) -> Case:
    return Case(inputs=inputs, expected=subject.run(inputs))


def check(
    run: Callable[[Tensors], list[torch.Tensor]], cases: Sequence[Case], atol: float
) -> tuple[Parity, str]:
    """Run the program on every case; returns the comparison and, when it failed, why."""
    worst, reason = 0.0, ""
    for case in cases:
        try:
            found = difference(case.expected, run(case.inputs))
        except RuntimeError as error:
            found = Difference(INCOMPARABLE, f"raises {str(error).strip().splitlines()[-1][:200]}")
        if found.value > worst or found.reason:
            worst, reason = found.value, found.reason or f"answers differ by {found.value:.3g}"
        if found.reason:
            break
    passed = worst <= atol
    # JSON has no infinity; -1 says that the answers could not be compared.
    shown = worst if worst != INCOMPARABLE else -1.0
    parity = Parity(max_abs_diff=shown, atol=atol, passed=passed, inputs_checked=len(cases))
    return parity, "" if passed else reason
