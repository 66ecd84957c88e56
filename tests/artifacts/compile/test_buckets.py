from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import torch

from artifacts.compile.buckets import build_all, worse
from artifacts.compile.packing import Label
from artifacts.compile.pipeline import Build, Job
from artifacts.compile.request import CompileRequest
from artifacts.compile.sizing import followed
from artifacts.compile.subject import Subject, prepare_subject
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


class Maker:
    """Writes a file for a program, and notes what it was asked for."""

    def __init__(self, refuses: int = 0) -> None:
        self.asked: list[tuple[int, int, str]] = []
        self._refuses = refuses

    def __call__(self, job: Job, subject: Subject, cases: tuple[Case, ...]) -> Build:
        rows = subject.inputs[0].shape[0]
        if rows == self._refuses:
            raise VerificationFailed("It does not agree.", "Try another.")
        self.asked.append((rows, len(cases), job.only))
        program = job.scratch / "one.pt"
        program.write_text(str(rows), encoding="utf-8")
        parity = Parity(max_abs_diff=rows / 100, atol=0.5, passed=True, inputs_checked=len(cases))
        return Build(program=program, label=LABEL, parity=parity, lanes=(), won="trace+freeze")


def test_the_winner_for_the_largest_sizes_is_made_for_all(job: Job, subject: Subject) -> None:
    maker = Maker()
    build, programs = build_all(job, maker, subject, ())
    assert maker.asked == [(4, 0, ""), (2, 6, "trace+freeze"), (1, 6, "trace+freeze")]
    held = {name: path.read_text(encoding="utf-8") for name, path in programs.items()}
    assert held == {"program.pt": "4", "program-2.pt": "2", "program-1.pt": "1"}
    assert build.parity == Parity(max_abs_diff=0.04, atol=0.5, passed=True, inputs_checked=12)


def test_a_bucket_that_does_not_compile_is_named(job: Job, subject: Subject) -> None:
    with pytest.raises(VerificationFailed, match=r"^For batch 2: It does not agree\.") as refused:
        build_all(job, Maker(refuses=2), subject, ())
    assert refused.value.hint == "Try another."


def test_two_comparisons_are_as_good_as_the_worse() -> None:
    good = Parity(max_abs_diff=0.1, atol=0.5, passed=True, inputs_checked=3)
    unknown = dataclasses.replace(good, max_abs_diff=-1.0, passed=False, inputs_checked=0)
    assert worse(good, unknown) == Parity(max_abs_diff=-1.0, atol=0.5, passed=False, inputs_checked=3)
    assert worse(good, dataclasses.replace(good, max_abs_diff=0.2)).max_abs_diff == 0.2
