"""The programs a method gives: by tracing, by scripting, and by a mix of both where a trace would erase."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from artifacts.compile.generalisation import erased_by, refuse_unproven
from artifacts.compile.mixing import can_mix, mix
from artifacts.compile.parity import EXAMPLE_SEED
from artifacts.compile.request import Method
from artifacts.compile.torchscript import Program, script, trace
from artifacts.errors import CompileError
from artifacts.serve.sampling import sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from artifacts.compile.subject import Subject
    from artifacts.compile.torchscript import Warned

MIX = "mix"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """One method's program, or why there is none."""

    method: str
    program: Program | None
    reason: str = ""
    erased: tuple[str, ...] = ()  # the lines, also of a trace that was refused for them


def heats(method: Method, subject: Subject, progress: Callable[[str], None]) -> tuple[Heat, ...]:
    """Return the programs to race; a mix is only tried where a trace erases what decides by values."""
    found: list[Heat] = []
    erased: tuple[Warned, ...] = ()
    given = isinstance(subject.model, torch.jit.ScriptModule)
    if method is not Method.SCRIPT and not given:
        progress("tracing …")
        heat, erased = _trace(subject)
        found.append(heat)
    if method is not Method.TRACE or given:
        progress("scripting …")
        found.append(_attempt(Method.SCRIPT.value, lambda: script(subject)))
    if method is Method.AUTO and can_mix(subject, erased, scripted=found[-1].program is not None):
        progress("mixing …")
        example = sample(subject.inputs, EXAMPLE_SEED)
        found.append(_attempt(MIX, lambda: _proven(subject, mix(subject, erased, example))))
    for heat in found:
        if heat.program is None:
            progress(f"lane {heat.method}: {heat.reason}")
    return tuple(found)


def _trace(subject: Subject) -> tuple[Heat, tuple[Warned, ...]]:
    """Return the trace and what it erases."""
    try:
        program = trace(subject, sample(subject.inputs, EXAMPLE_SEED))
    except CompileError as error:
        return _failed(Method.TRACE.value, error), ()
    erased = erased_by(subject, program.warned)
    return _attempt(Method.TRACE.value, lambda: _proven(subject, program), erased), erased


def _proven(subject: Subject, program: Program) -> Program:
    """Return the program with the lines it erased; raises CompileError where evidence is missing."""
    erased = erased_by(subject, program.warned)
    refuse_unproven(subject, erased)
    return dataclasses.replace(program, erased=_texts(erased))


def _texts(erased: tuple[Warned, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(str, erased)))


def _attempt(method: str, make: Callable[[], Program], erased: tuple[Warned, ...] = ()) -> Heat:
    try:
        return Heat(method=method, program=make(), erased=_texts(erased))
    except CompileError as error:
        return dataclasses.replace(_failed(method, error), erased=_texts(erased))


def _failed(method: str, error: CompileError) -> Heat:
    reason = " ".join(filter(None, (error.message, error.hint)))
    return Heat(method=method, program=None, reason=reason)
