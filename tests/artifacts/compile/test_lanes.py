from __future__ import annotations

import errno
import fcntl
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from artifacts.compile import recipes
from artifacts.compile.contender import Checked, Lane, Trial, _timed, run_lane
from artifacts.compile.lanes import Race, choose, ranking
from artifacts.compile.parity import examine
from artifacts.compile.recipes import Recipe, Recorded
from artifacts.compile.recording import record
from artifacts.compile.request import LaneReport
from artifacts.compile.subject import prepare_subject
from artifacts.compile.timing import timing_turn
from artifacts.errors import VerificationFailed
from artifacts.manifest import Parity
from artifacts.serve.program import open_program
from artifacts.specs import TensorSpec

if TYPE_CHECKING:
    from artifacts.compile.subject import Subject

IMAGE = (TensorSpec(name="image", dtype="float32", shape=(1, 3, 8, 8)),)


@pytest.fixture(scope="module")
def subject() -> Subject:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 5)
    )
    return prepare_subject(model, IMAGE)


@pytest.fixture
def trial(subject: Subject, tmp_path: Path) -> Trial:
    _, cases = examine(subject)
    return Trial(subject=subject, cases=cases, atol=1e-3, directory=tmp_path, lock=tmp_path / "lock")


def _recorded(subject: Subject) -> Recorded:
    return Recorded(name="trace", module=record(subject.flat, (torch.zeros(1, 3, 8, 8),)))


def _checked(name: str, ms: float, *, passed: bool = True, erased: tuple[str, ...] = ()) -> Checked:
    lane = Lane(name=name, path=Path(name), program="torchscript", preparation="none", erased=erased)
    parity = Parity(max_abs_diff=0.0, atol=1e-3, passed=passed, inputs_checked=6)
    return Checked(lane=lane, parity=parity, ms=ms, reason="" if passed else "answers differ by 9")


def _race(*checked: Checked, tie: float = 1.01) -> Race:
    return Race(checked=checked, reports=tuple(each.report() for each in checked), tie=tie)


def test_the_fastest_that_agrees_is_chosen() -> None:
    run = _race(_checked("plain", 10.0), _checked("wrong", 1.0, passed=False), _checked("quick", 5.0))
    assert choose(run).lane.name == "quick"


def test_of_two_equally_fast_the_plainer_is_chosen() -> None:
    assert choose(_race(_checked("plain", 10.0), _checked("fancy", 9.95))).lane.name == "plain"
    assert choose(_race(_checked("plain", 10.0), _checked("fancy", 9.5))).lane.name == "fancy"
    tiny = _race(_checked("plain", 0.06), _checked("fancy", 0.02))
    assert choose(tiny).lane.name == "fancy"
    assert choose(replace(tiny, tie_ms=0.1)).lane.name == "plain"  # a request costs the server as much


def test_a_lane_that_kept_the_branches_beats_a_faster_one_that_erased_them() -> None:
    run = _race(_checked("trace", 1.0, erased=("m.py:3",)), _checked("script", 4.0))
    assert choose(run).lane.name == "script"


def test_without_a_lane_that_agrees_there_is_no_artifact() -> None:
    with pytest.raises(VerificationFailed, match="wrong: answers differ by 9"):
        choose(_race(_checked("wrong", 1.0, passed=False)))


def test_every_lane_of_another_layout_or_type_answers_as_eager_does(trial: Trial) -> None:
    rows = [run_lane(each, trial) for each in recipes.recorded_again(_recorded(trial.subject), trial.subject)]
    names = [row.lane.name for row in rows if isinstance(row, Checked)]
    assert "trace+channels_last+freeze+onednn" in names
    by_name = {row.lane.name: row.parity for row in rows if isinstance(row, Checked)}
    assert by_name["trace+channels_last+freeze+optimize"].passed
    # Half precision and int8 answer in fp32, off by their own rounding: more than nothing, less than wrong.
    assert 1e-4 < by_name["trace+freeze+bf16"].max_abs_diff < 0.1
    assert 1e-4 < by_name["trace+int8"].max_abs_diff < 0.1


def test_a_lane_outside_the_users_tolerance_is_refused_and_not_timed(trial: Trial) -> None:
    half = next(
        each
        for each in recipes.recorded_again(_recorded(trial.subject), trial.subject)
        if each.name == "trace+freeze+bf16"
    )
    row = run_lane(half, trial)
    assert isinstance(row, Checked)
    assert not row.parity.passed
    assert row.report().ms is None
    assert "answers differ by" in row.reason


def test_a_lane_that_crashes_is_a_row_with_its_reason(trial: Trial) -> None:
    def crash(_: Path) -> tuple[str, ...]:
        os.kill(os.getpid(), signal.SIGKILL)
        return ()

    row = run_lane(Recipe(name="crash", make=crash), trial)
    assert row == LaneReport(lane="crash", ms=None, passed=False, reason="its process ended with SIGKILL")


def test_the_fusion_flag_is_set_for_the_lane_that_needs_it_and_for_no_other(
    subject: Subject, tmp_path: Path
) -> None:
    path = tmp_path / "program.pt"
    recipes.plain(_recorded(subject)).make(path)
    open_program(path, "torchscript", "onednn-graph")
    assert torch.jit.onednn_fusion_enabled()  # type: ignore[no-untyped-call]
    open_program(path, "torchscript", "none")
    assert not torch.jit.onednn_fusion_enabled()  # type: ignore[no-untyped-call]


def _held(lock: Path, kind: int) -> bool:
    """Whether another process could not have the lock now, of this kind."""
    with lock.open("w") as other:
        try:
            fcntl.flock(other, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_who_times_exactly_is_alone_and_others_time_side_by_side(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with timing_turn(lock, alone=True):
        assert _held(lock, fcntl.LOCK_EX)
        assert _held(lock, fcntl.LOCK_SH)
    with timing_turn(lock, alone=False):
        assert _held(lock, fcntl.LOCK_EX)
        assert not _held(lock, fcntl.LOCK_SH)
    assert not _held(lock, fcntl.LOCK_EX)


def test_a_lane_is_timed_while_its_trials_lock_is_held(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    for exact in (True, False):
        seen: list[bool] = []

        def timed(*_: object, seen: list[bool] = seen) -> float:
            seen.append(_held(trial.lock, fcntl.LOCK_SH))
            return 1.0

        monkeypatch.setattr("artifacts.compile.contender.median_ms", timed)
        _timed(trial.subject.flat, replace(trial, exact=exact))
        assert seen == [exact]


def test_times_are_taken_also_where_no_lock_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with timing_turn(tmp_path / "file" / "lock", alone=True):
        pass


def test_a_full_disk_is_no_property_of_a_lane(trial: Trial) -> None:
    def full(_: Path) -> tuple[str, ...]:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left on device"):
        run_lane(Recipe(name="full", make=full), trial)


def test_lanes_are_ranked_as_they_would_be_chosen() -> None:
    run = _race(
        _checked("erased", 1.0, erased=("m.py:3",)),
        _checked("plain", 10.05),
        _checked("wrong", 2.0, passed=False),
        _checked("fancy", 10.0),
        _checked("slow", 30.0),
    )
    assert ranking(run) == ("plain", "fancy", "slow", "erased")
