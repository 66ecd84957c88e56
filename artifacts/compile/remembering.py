"""A race that was run before with the same programs, answers and rules is not run again.

Two CPU targets of one architecture share it, and so does every emulated stand-in; and, through a shared
cache, so do machines whose processors and tools are the same.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from artifacts import canonical
from artifacts.compile.contender import Checked, Lane
from artifacts.compile.lanes import Course, Race, choose, race, ranking
from artifacts.compile.methods import Heat, heats
from artifacts.compile.request import LaneReport
from artifacts.compile.toolstate import race_digest
from artifacts.compile.torchscript import save
from artifacts.manifest import Parity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from artifacts.compile.accuracy import Gate
    from artifacts.compile.cache import Entry, Store

_PROGRAM = "program"


@dataclass(frozen=True, slots=True, kw_only=True)
class Won:
    """The lane that was chosen, and the table it was chosen from."""

    best: Checked
    reports: tuple[LaneReport, ...]
    warnings: tuple[str, ...]
    ranking: tuple[str, ...]  # all lanes that passed, in the order in which they are chosen


def win(course: Course, store: Store | None) -> Won:
    """Return the chosen lane, from the store where this very race is in it; raises VerificationFailed."""
    found = heats(course.method, course.trial.subject, course.progress)
    if store is None or all(heat.program is None for heat in found):
        return _chosen(race(course, found))  # nothing here identifies the model
    key = race_key(course, found)
    with store.sole(key):
        entry = store.find(key)
        if entry is not None:
            course.progress("the same programs were raced before: taken from the cache")
            return _read(entry, course)
        won = _chosen(race(course, found))
        reason = store.keep(key, _document(won), {_PROGRAM: won.best.lane.path})
        if reason:
            course.progress(f"the race is not kept in the cache: {reason}")
    return won


def _chosen(run: Race) -> Won:
    return Won(best=choose(run), reports=run.reports, warnings=run.warnings, ranking=ranking(run))


def race_key(course: Course, found: Iterable[Heat]) -> str:
    """Return the digest of all that decides a race: programs with weights, answers, specs, rules, tools.

    A lane that is not made from these programs (AOTInductor exports the model) is a function of the same
    weights and operators: export refuses Python that decides by values, which alone could differ.
    """
    subject = course.trial.subject
    document: dict[str, Any] = {
        "programs": [_program(heat) for heat in found],
        "answers": [_answers(case.inputs.values(), case.expected) for case in course.trial.cases],
        "inputs": [spec.as_document() for spec in subject.inputs],
        "outputs": [spec.as_document() for spec in subject.outputs],
        "rules": [course.method.value, course.lanes.value, course.trial.atol, course.only],
        "accuracy": _gate(course.trial.gate),
        "allowed": [course.transformed, course.native, course.gpu],
        "tool": race_digest(),
    }
    return canonical.sha256(canonical.encode(document))


def _gate(gate: Gate | None) -> list[Any]:
    if gate is None:
        return []
    examples = [tensor for example in gate.labelled.examples for tensor in example.values()]
    return [gate.eager, gate.max_drop, _answers(examples, [gate.labelled.labels])]


def _program(heat: Heat) -> list[Any]:
    if heat.program is None:
        return [heat.method, heat.reason]
    with tempfile.TemporaryDirectory(prefix="amazonei-key-") as scratch:
        path = Path(scratch, "program.pt")  # records are named after the file
        save(heat.program.module, path)
        return [heat.method, list(heat.erased), canonical.sha256(path.read_bytes())]


def _answers(*groups: Iterable[torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for group in groups:
        for tensor in group:
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _document(won: Won) -> dict[str, Any]:
    lane = asdict(won.best.lane) | {"path": ""}
    return {
        "lane": lane,
        "parity": won.best.parity.as_document(),
        "ms": won.best.ms,
        "accuracy": won.best.accuracy,
        "reports": [report.as_document() for report in won.reports],
        "warnings": list(won.warnings),
        "ranking": list(won.ranking),
    }


def _read(entry: Entry, course: Course) -> Won:
    document = entry.document
    lane = Lane(
        **{
            **document["lane"],
            "path": entry.files[_PROGRAM],
            "requires": tuple(document["lane"]["requires"]),
            "erased": tuple(document["lane"]["erased"]),
        }
    )
    # A copy: another process may find the entry corrupt, and remove it, while this one packs.
    copy = course.trial.directory / f"cached-{entry.files[_PROGRAM].name}.pt"
    copy.write_bytes(lane.path.read_bytes())
    best = Checked(
        lane=replace(lane, path=copy),
        parity=Parity.from_document(document["parity"]),
        ms=document["ms"],
        accuracy=document["accuracy"],
        reason="",
    )
    reports = tuple(LaneReport.from_document(report) for report in document["reports"])
    return Won(
        best=best,
        reports=reports,
        warnings=tuple(document["warnings"]),
        ranking=tuple(document["ranking"]),
    )
