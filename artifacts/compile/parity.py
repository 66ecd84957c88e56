"""Compare a compiled program with the eager model on inputs it was not made with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from artifacts.errors import CompileError
from artifacts.manifest import Parity
from artifacts.serve.agreement import INCOMPARABLE, Difference, difference
from artifacts.serve.sampling import edge_samples, sample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    from artifacts.compile.subject import Subject
    from artifacts.serve.sampling import Tensors

EXAMPLE_SEED = 0  # programs are traced with this one, so it proves nothing
CHECK_SEEDS = (1, 2, 3)
GOLDEN_SEED = 4
_REPEATABLE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One request and the eager model's answer."""

    inputs: Tensors
    expected: list[torch.Tensor]


def reference_cases(subject: Subject) -> tuple[Case, ...]:
    """Return random requests of other seeds, and constant ones that the eager model can answer.

    Raises CompileError when the eager model does not repeat itself: nothing could be compared with it.
    """
    cases = [_case(subject, sample(subject.inputs, seed)) for seed in CHECK_SEEDS]
    again = subject.run(cases[0].inputs)
    if difference(cases[0].expected, again).value > _REPEATABLE:
        raise CompileError(
            "The model gives different answers to the same input.",
            "Look for dropout called with training=True, random numbers, or state kept between calls.",
        )
    for inputs in edge_samples(subject.inputs):
        try:
            cases.append(_case(subject, inputs))
        except (RuntimeError, ValueError, IndexError, ZeroDivisionError):
            continue  # a constant the eager model itself refuses says nothing about the program
    return tuple(cases)


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
