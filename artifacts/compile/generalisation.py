"""Does a trace hold for other inputs? The lines that decide by values, and both their sides."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING

import torch

from artifacts.compile.driving import driven_inputs
from artifacts.compile.watching import Decision, observe
from artifacts.errors import CompileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from artifacts.compile.places import Place
    from artifacts.compile.subject import Subject
    from artifacts.compile.torchscript import Warned
    from artifacts.compile.watching import Observation
    from artifacts.serve.sampling import Tensors

_SEARCH_S = 20.0
_SEARCH_RUNS = 150

Position = tuple[str, int]
Values = tuple[str, ...]  # what one run decided at one place, in order


class Decisions:
    """What was decided where, over several runs."""

    def __init__(self) -> None:
        self._places: dict[Position, Place] = {}
        self._answered: dict[Position, set[Values]] = defaultdict(set)
        self._raised: dict[Position, set[Values]] = defaultdict(set)
        self._numbers: set[Position] = set()
        self._by_size: set[Position] = set()

    def add(self, seen: Observation) -> bool:
        """Note a run and return whether it decided something otherwise than all runs before."""
        self._numbers |= {place.position for place, value in seen.decisions if not isinstance(value, bool)}
        self._by_size |= {place.position for place, value in seen.decisions if isinstance(value, torch.Size)}
        book = self._answered if seen.answered else self._raised
        new = False
        for position, values in _by_position(seen).items():
            new |= values not in book[position]
            book[position].add(values)
        self._places |= {place.position: place for place, _ in seen.decisions}
        return new

    @property
    def open(self) -> bool:
        """Return whether some branch only ever went one way."""
        return any(decision.yes_or_no and not decision.both_sides for decision in self.found())

    def found(self) -> tuple[Decision, ...]:
        """Return every line that decides, and what is known of it."""
        return tuple(
            Decision(
                place=place,
                ways=len(self._answered[position]),
                guard=bool(self._raised[position] - self._answered[position]),
                yes_or_no=position not in self._numbers,
                by_size=position in self._by_size,
            )
            for position, place in sorted(self._places.items())
        )


def _by_position(seen: Observation) -> dict[Position, Values]:
    values: dict[Position, list[str]] = defaultdict(list)
    for place, value in seen.decisions:
        values[place.position].append(repr(value))
    return {position: tuple(found) for position, found in values.items()}


def search(subject: Subject, known: Iterable[Tensors]) -> tuple[tuple[Decision, ...], tuple[Tensors, ...]]:
    """Return the lines that decide by values, and inputs, beyond the known, that decide otherwise.

    The search ends when every branch was seen going two ways, or its budget is spent.
    """
    decisions = Decisions()
    for inputs in known:
        decisions.add(observe(subject, inputs))
        if not decisions.found():
            return (), ()  # branches inside branches only exist where there is a branch
    end = time.monotonic() + _SEARCH_S
    found: list[Tensors] = []
    for run, inputs in enumerate(driven_inputs(subject.inputs)):
        if not decisions.open or run >= _SEARCH_RUNS or time.monotonic() > end:
            break
        seen = observe(subject, inputs)
        if decisions.add(seen) and seen.answered:
            found.append(inputs)
    return decisions.found(), tuple(found)


def erased_by(subject: Subject, warned: Sequence[Warned]) -> tuple[Warned, ...]:
    """Return the warnings that are about values, or about sizes that come from data; others are fixed."""
    deciding = {decision.place.position for decision in subject.decisions}
    sizes = any(decision.by_size for decision in subject.decisions)
    return tuple(
        warning for warning in warned if warning.conversion and (sizes or warning.place.position in deciding)
    )


def refuse_unproven(subject: Subject, erased: Sequence[Warned]) -> None:
    """Raise CompileError when no input showed what an erased line does on its other side."""
    unproven = {d.place.position: d for d in subject.decisions if not d.both_sides}
    sizes = any(decision.by_size for decision in unproven.values())
    deciding = {decision.place.position for decision in subject.decisions}
    places = [
        str(warning.place)
        for warning in erased
        if warning.place.position in unproven or (sizes and warning.place.position not in deciding)
    ]
    if places:
        raise CompileError(
            f"The trace erased a decision at {', '.join(dict.fromkeys(places))}, "
            "and no input shows what it does otherwise."
        )
