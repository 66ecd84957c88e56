from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from artifacts.compile import recipes
from artifacts.compile.accuracy import Gate, Labelled, gate_of, read_labelled
from artifacts.compile.contender import Checked, Trial, eager_report, run_lane
from artifacts.compile.graph import nodes
from artifacts.compile.lanes import Race, choose
from artifacts.compile.parity import examine
from artifacts.compile.recipes import Recipe, Recorded
from artifacts.compile.recording import record
from artifacts.compile.request import CompileRequest, LaneReport
from artifacts.compile.subject import Subject, prepare_subject
from artifacts.errors import BadRequest, VerificationFailed
from artifacts.specs import TensorSpec
from artifacts.targets import find

SPEC = TensorSpec(name="x", dtype="float32", shape=(1, 4))


class TwoNearClasses(torch.nn.Module):
    """The second class wins by a thousandth, which bf16 does not tell from nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 2, bias=False)
        with torch.no_grad():
            self.linear.weight.copy_(torch.tensor([[1.0] * 4, [1.001] * 4]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.linear(x)
        return scores


@pytest.fixture
def subject() -> Subject:
    torch.set_num_threads(1)
    return prepare_subject(TwoNearClasses(), (SPEC,))


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    path = tmp_path / "labelled.npz"
    np.savez(path, x=np.ones((10, 4), np.float32), labels=np.ones(10, np.int64))
    return path


def _request(labels: Path, target: str = "c7i.xlarge") -> CompileRequest:
    return CompileRequest(
        model="m:f", inputs=(), target=target, out_dir=Path(), labels=str(labels), max_accuracy_drop=0.1
    )


def _gate(labels: Path, subject: Subject) -> Gate:
    gate = gate_of(_request(labels), find("c7i.xlarge"), subject, lambda _: None)
    assert gate is not None
    return gate


def test_a_lane_whose_numbers_agree_and_whose_classes_do_not_is_refused(
    subject: Subject, labelled: Path, tmp_path: Path
) -> None:
    _, cases = examine(subject)
    gate = _gate(labelled, subject)
    assert gate.eager == 1.0
    trial = Trial(
        subject=subject, cases=cases, atol=0.1, directory=tmp_path, lock=tmp_path / "lock", gate=gate
    )
    program = Recorded(name="trace", module=record(subject.flat, (torch.ones(1, 4),)))
    half = next(each for each in recipes.recorded_again(program, subject) if each.name == "trace+freeze+bf16")
    row, plain = run_lane(half, trial), run_lane(recipes.plain(program), trial)
    assert isinstance(row, Checked)
    assert isinstance(plain, Checked)
    assert row.parity.passed
    report = row.report()
    assert (report.passed, report.accuracy, report.ms) == (False, 0.0, None)
    assert report.reason == "right for 0.00% of the labelled examples, eager for 100.00%"
    assert plain.report().accuracy == 1.0
    assert eager_report(trial).accuracy == 1.0
    assert choose(Race(checked=(replace(row, ms=0.0), plain), reports=())).lane.name == "trace"
    with pytest.raises(VerificationFailed, match="labelled examples"):
        choose(Race(checked=(row,), reports=(report,)))


class Image(torch.nn.Module):
    """Takes its image second, so that it is called by names."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU()
        )
        self.classes = torch.nn.Linear(8, 4)

    def forward(self, scale: torch.Tensor | None = None, image: torch.Tensor | None = None) -> torch.Tensor:
        assert image is not None
        scores: torch.Tensor = self.classes(self.features(image).mean((2, 3)))
        return scores


def _image_trial(tmp_path: Path, spread: float) -> Trial:
    """Examples of about one brightness, labelled as eager has them."""
    torch.set_num_threads(1)
    spec = TensorSpec(name="image", dtype="float32", shape=(1, 3, 12, 12))
    subject = prepare_subject(Image(), (spec,))
    images = np.random.default_rng(0).normal(0, spread, (40, 1, 3, 12, 12)).astype(np.float32)
    scores = [subject.run({"image": torch.from_numpy(image)})[0] for image in images]
    np.savez(tmp_path / "l.npz", image=images, labels=np.array([int(each.argmax()) for each in scores]))
    _, cases = examine(subject)
    gate = _gate(tmp_path / "l.npz", subject)
    return Trial(subject=subject, cases=cases, atol=9, directory=tmp_path, lock=tmp_path / "lock", gate=gate)


def _static_int8(trial: Trial) -> Recipe:
    example = trial.subject.arguments(trial.cases[0].inputs)
    program = Recorded(name="trace", module=record(trial.subject.flat, example))
    found = recipes.recorded_again(program, trial.subject, trial.gate)
    return next(each for each in found if each.name == "trace+static-int8")


def test_convolutions_in_int8_are_calibrated_on_the_examples_and_judged_by_them(tmp_path: Path) -> None:
    trial = _image_trial(tmp_path, spread=1.0)
    row = run_lane(_static_int8(trial), trial)
    assert isinstance(row, Checked)
    assert row.passed
    assert 0.9 <= (row.accuracy or 0) <= 1.0
    assert row.parity.max_abs_diff > 1e-4  # int8 it is
    operators = {node.kind() for node in nodes(torch.jit.load(str(row.lane.path)).inlined_graph)}  # type: ignore[no-untyped-call]
    assert "quantized::conv2d_relu" in operators


def test_without_examples_there_is_nothing_to_calibrate_convolutions_on(tmp_path: Path) -> None:
    trial = replace(_image_trial(tmp_path, spread=1.0), gate=None)
    with pytest.raises(StopIteration):
        _static_int8(trial)


def test_without_labelled_data_nothing_but_parity_decides(subject: Subject) -> None:
    request = replace(_request(Path()), labels="")
    assert gate_of(request, find("c7i.xlarge"), subject, lambda _: None) is None


def test_a_drop_of_just_as_much_as_is_allowed_passes() -> None:
    labelled = Labelled(examples=({},) * 100, labels=torch.tensor([0] * 91 + [1] * 9))
    gate = Gate(labelled=labelled, eager=0.92, max_drop=0.01)
    assert gate.judge(lambda _: [torch.tensor([[1.0, 0.0]])]) == (0.91, "")
    assert replace(gate, eager=0.93).judge(lambda _: [torch.tensor([[1.0, 0.0]])])[1] != ""


def test_both_kinds_of_file_hold_the_same_examples(labelled: Path, tmp_path: Path) -> None:
    other = tmp_path / "labelled.safetensors"
    save_file({"x": torch.ones(10, 1, 4), "labels": torch.ones(10, dtype=torch.int32)}, other)
    first, second = read_labelled(labelled, (SPEC,)), read_labelled(other, (SPEC,))
    assert len(first.examples) == len(second.examples) == 10
    assert first.examples[3]["x"].shape == second.examples[3]["x"].shape == (1, 4)
    assert torch.equal(first.labels, second.labels)


ONES, LABELS = np.ones((3, 4), np.float32), np.zeros(3, np.int64)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"x": ONES}, "has x; expected labels, x"),
        ({"x": ONES, "y": ONES, "labels": LABELS}, "has labels, x, y; expected"),
        ({"x": ONES, "labels": LABELS.astype(np.float32)}, r"labels of .* are torch.float32\[3\]"),
        ({"x": ONES, "labels": LABELS[:0]}, "labels of"),
        ({"x": ONES, "labels": LABELS[:2]}, "expected 2 examples of x=float32"),
        ({"x": ONES[:, :3], "labels": LABELS}, "expected 3 examples of x=float32"),
        ({"x": ONES.astype(np.float64), "labels": LABELS}, "torch.float64"),
    ],
)
def test_a_file_that_does_not_fit_the_inputs_is_refused(
    arrays: dict[str, Any], told: str, tmp_path: Path
) -> None:
    path = tmp_path / "labelled.npz"
    np.savez(path, **arrays)
    with pytest.raises(BadRequest, match=told) as caught:
        read_labelled(path, (SPEC,))
    assert "Save a .npz or .safetensors file" in caught.value.hint


@pytest.mark.parametrize("name", ["missing.npz", "text.npz", "text.safetensors", "missing.safetensors"])
def test_a_file_that_cannot_be_read_is_refused(name: str, tmp_path: Path) -> None:
    if name.startswith("text"):
        (tmp_path / name).write_text("images and labels")
    with pytest.raises(BadRequest, match="cannot be read"):
        read_labelled(tmp_path / name, (SPEC,))


def test_a_label_that_is_no_class_is_refused(subject: Subject, tmp_path: Path) -> None:
    path = tmp_path / "labelled.npz"
    np.savez(path, x=ONES, labels=LABELS + 2)
    with pytest.raises(BadRequest, match="2 among them"):
        gate_of(_request(path), find("c7i.xlarge"), subject, lambda _: None)


def test_a_program_that_cannot_run_here_is_not_judged(subject: Subject, labelled: Path) -> None:
    with pytest.raises(BadRequest, match="it runs on the device only"):
        gate_of(_request(labelled, "inf2.xlarge"), find("inf2.xlarge"), subject, lambda _: None)


def test_the_request_and_the_row_survive_their_documents(labelled: Path) -> None:
    request = _request(labelled)
    assert CompileRequest.from_json(request.to_json()) == request
    row = LaneReport(lane="trace", ms=1.5, passed=True, accuracy=0.875)
    assert LaneReport.from_document(row.as_document()) == row
