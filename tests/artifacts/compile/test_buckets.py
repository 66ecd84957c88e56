from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import torch

from artifacts.compile.buckets import build_all, worse
from artifacts.compile.packing import Label
from artifacts.compile.pipeline import Build, Job
from artifacts.compile.recording import record
from artifacts.compile.request import CompileRequest, LaneReport
from artifacts.compile.sizing import followed, in_between
from artifacts.compile.subject import Subject, prepare_subject
from artifacts.compile.torchscript import save
from artifacts.errors import VerificationFailed
from artifacts.manifest import Parity
from artifacts.specs import parse_specs
from artifacts.targets import find

if TYPE_CHECKING:
    from pathlib import Path

    from artifacts.compile.parity import Case

LABEL = Label(
    name="m",
    target="c7i.xlarge",
    lane="trace",
    stand_in=False,
    preparation="none",
    program="torchscript",
    atol=1e-3,
    compiler="torchscript",
    compiler_version="2.13.0",
)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    request = CompileRequest(model="m.py:net", inputs=(), target="c7i.xlarge", out_dir=tmp_path)
    return Job(request, find("c7i.xlarge"), "m", tmp_path, lambda _: None, None)


@pytest.fixture
def subject() -> Subject:
    return followed(prepare_subject(torch.nn.Linear(3, 2), parse_specs(("float32[1|2|4,3]",))))


RANKING = ("trace+freeze", "trace", "script")
LANES = tuple(LaneReport(lane=lane, ms=3.0, passed=True) for lane in RANKING)


class Maker:
    """Writes a file for a program, and notes what it was asked for."""

    def __init__(self, *refuses: tuple[str, int], ranking: tuple[str, ...] = RANKING) -> None:
        self.asked: list[tuple[int, int, str]] = []
        self._refuses, self._ranking = refuses, ranking

    def __call__(self, job: Job, subject: Subject, cases: tuple[Case, ...]) -> Build:
        rows = subject.inputs[0].shape[0]
        if (job.only, rows) in self._refuses:
            raise VerificationFailed("It does not agree.", "Try another.")
        self.asked.append((rows, len(cases), job.only))
        program = job.scratch / "one.pt"
        program.write_text(str(rows), encoding="utf-8")
        parity = Parity(max_abs_diff=rows / 100, atol=0.5, passed=True, inputs_checked=len(cases))
        lane = job.only or self._ranking[0]
        label = dataclasses.replace(LABEL, lane=lane)
        return Build(program=program, label=label, parity=parity, lanes=LANES, ranking=self._ranking)


def test_the_winner_for_the_largest_sizes_is_made_for_all(job: Job, subject: Subject) -> None:
    maker = Maker()
    build, programs = build_all(job, maker, subject, ())
    assert maker.asked == [(4, 0, ""), (2, 6, "trace+freeze"), (1, 6, "trace+freeze")]
    held = {name: path.read_text(encoding="utf-8") for name, path in programs.items()}
    assert held == {"program.pt": "4", "program-2.pt": "2", "program-1.pt": "1"}
    assert build.parity == Parity(max_abs_diff=0.04, atol=0.5, passed=True, inputs_checked=12)


def test_where_the_winner_fails_for_smaller_sizes_the_next_lane_is_taken(job: Job, subject: Subject) -> None:
    maker = Maker(("trace+freeze", 2), ("trace", 1))
    build, programs = build_all(job, maker, subject, ())
    assert build.label.lane == "script"
    assert [lane for _, _, lane in maker.asked] == ["", "trace", "trace", "script", "script", "script"]
    assert len(programs) == 3
    assert [(row.lane, row.passed, row.reason) for row in build.lanes] == [
        ("trace+freeze", False, "For batch 2: It does not agree."),
        ("trace", False, "For batch 1: It does not agree."),
        ("script", True, ""),
    ]


def test_a_bucket_that_no_lane_compiles_for_is_named(job: Job, subject: Subject) -> None:
    with pytest.raises(VerificationFailed, match=r"^For batch 2: It does not agree\.") as refused:
        build_all(job, Maker(("trace", 2), ranking=("trace",)), subject, ())
    assert refused.value.hint == "Try another."
    with pytest.raises(VerificationFailed, match="No lane holds for all sizes") as refused:
        build_all(job, Maker(*((lane, 2) for lane in RANKING)), subject, ())
    assert "trace: For batch 2: It does not agree; script: For batch 2" in refused.value.message


def test_a_lane_that_answers_filled_up_requests_otherwise_is_given_up(
    job: Job, subject: Subject, tmp_path: Path
) -> None:
    """Real programs: the winner's is wrong where a request is filled up, the next one's is not."""

    class Rounds(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
            return (subject.model(x) + (1.0 if x.shape[0] == 4 else 0.0),)

    def make(job: Job, smaller: Subject, cases: tuple[Case, ...]) -> Build:
        lane = job.only or RANKING[0]
        model = Rounds() if lane == RANKING[0] else subject.flat
        save(record(model, (torch.zeros(smaller.inputs[0].shape),)), job.scratch / f"{lane}.pt")
        parity = Parity(max_abs_diff=0.0, atol=1e-3, passed=True, inputs_checked=len(cases))
        label = dataclasses.replace(LABEL, lane=lane)
        return Build(
            program=job.scratch / f"{lane}.pt", label=label, parity=parity, lanes=LANES, ranking=RANKING
        )

    build, _ = build_all(job, make, subject, (), in_between(subject))
    assert build.label.lane == "trace"
    assert build.lanes[0].passed is False
    assert "answers differ by 1" in build.lanes[0].reason


def test_two_comparisons_are_as_good_as_the_worse() -> None:
    good = Parity(max_abs_diff=0.1, atol=0.5, passed=True, inputs_checked=3)
    unknown = dataclasses.replace(good, max_abs_diff=-1.0, passed=False, inputs_checked=0)
    assert worse(good, unknown) == Parity(max_abs_diff=-1.0, atol=0.5, passed=False, inputs_checked=3)
    assert worse(good, dataclasses.replace(good, max_abs_diff=0.2)).max_abs_diff == 0.2
