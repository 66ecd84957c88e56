from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from artifacts.serve.scale import Scale
from provisioning.scales import Scales
from provisioning.shipping import Package


def package(**changes: Any) -> Package:
    fields: dict[str, Any] = {
        "name": "net",
        "accelerator": "c7i.xlarge",
        "digest": "d" * 64,
        "batch_limit": 8,
    }
    return Package(path=Path("net.aei"), size=1, lane="trace", **(fields | changes))


def served(**changes: Any) -> dict[str, Any]:
    return {"name": "net", "digest": "a" * 64, "workers": 2, "batch": 4} | changes


def test_what_a_sweep_found_holds_for_the_model_retrained_and_for_no_other(tmp_path: Path) -> None:
    scales = Scales(tmp_path / "not-there-yet", emulated=False)
    assert scales.of(package()) is None
    scales.note("c7i.xlarge", served())
    scales.note("c7i.xlarge", served(name="other", workers=7))
    scales.note("inf2.xlarge", served(workers=1))
    assert scales.of(package()) == scales.of(package(digest="e" * 64)) == Scale(workers=2, batch=4)
    assert scales.of(package(name="other")) == Scale(workers=7, batch=4)
    assert scales.of(package(name="third")) is None
    assert scales.of(package(accelerator="g5.xlarge")) is None


def test_a_later_sweep_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    scales = Scales(tmp_path, emulated=False)
    scales.note("c7i.xlarge", served())
    scales.note("c7i.xlarge", served(batch=8))
    assert scales.of(package()) == Scale(workers=2, batch=8)


def test_an_artifact_that_takes_fewer_at_once_than_was_found_is_not_held_to_it(tmp_path: Path) -> None:
    scales = Scales(tmp_path, emulated=False)
    scales.note("c7i.xlarge", served())
    assert scales.of(package(batch_limit=3)) is None


def test_what_emulated_hosts_do_says_nothing_of_real_ones(tmp_path: Path) -> None:
    Scales(tmp_path, emulated=True).note("c7i.xlarge", served())
    assert Scales(tmp_path, emulated=False).of(package()) is None
    assert Scales(tmp_path, emulated=True).of(package()) is not None


@pytest.mark.parametrize("text", ["", "[]", '{"c7i.xlarge": 3}', '{"c7i.xlarge": {"net": {"workers": "x"}}}'])
def test_a_file_that_is_not_ours_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "scales.json").write_text(text)
    assert Scales(tmp_path, emulated=False).of(package()) is None
