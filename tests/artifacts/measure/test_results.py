from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from artifacts.errors import BadRequest
from artifacts.measure import results
from artifacts.measure.campaign import Campaign
from artifacts.measure.protocol import Protocol
from artifacts.measure.results import ParityRecord, Results, TargetResult
from tests.artifacts.measure.simulation import SimulatedServer

if TYPE_CHECKING:
    from pathlib import Path


def a_result(*, emulated: bool) -> TargetResult:
    server = SimulatedServer(service_s=0.005)
    campaign = Campaign(
        driver=server, protocol=Protocol(slo_ms=20), progress=lambda _: None, placement="same-host"
    )
    return TargetResult(
        accelerator="c7i.xlarge",
        instance_type="c7i.xlarge",
        emulated=emulated,
        lane="freeze",
        parity=ParityRecord(max_abs_diff=1e-6, atol=1e-3, passed=True),
        measurements=(campaign.run(echo_rps=5000),),
        samples=("c7i.xlarge.samples.json.gz",),
    )


def results_of(*targets: TargetResult) -> Results:
    return Results(
        deployment="bench",
        region="us-west-2",
        created_at="2026-11-21T08:00:00Z",
        model="examples/digits.py:model",
        targets=targets,
    )


def test_a_document_reads_back_as_it_was_written(tmp_path: Path) -> None:
    failed = TargetResult(
        accelerator="inf2.xlarge", instance_type="inf2.xlarge", emulated=False, failure="no capacity"
    )
    written = results_of(a_result(emulated=True), failed)
    results.save(written, tmp_path / "results.json")
    read = results.load(tmp_path / "results.json")
    assert read.to_json() == written.to_json()
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_one_emulated_target_marks_the_whole_document() -> None:
    real, emulated = a_result(emulated=False), a_result(emulated=True)
    assert not results_of(real).to_json()["emulated"]
    document = results_of(real, emulated).to_json()
    assert document["emulated"]
    assert [target["emulated"] for target in document["targets"]] == [False, True]


def test_a_missing_file_is_a_bad_request(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no results file"):
        results.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"format": "amazonei-results/2"}', '{"format": "amazonei-results/1"}']
)
def test_a_file_that_is_no_results_document_is_a_bad_request(tmp_path: Path, content: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(BadRequest):
        results.load(path)


def test_the_summary_carries_no_raw_samples_and_no_infinities() -> None:
    document = json.dumps(results_of(a_result(emulated=True)).to_json(), allow_nan=False)
    assert "scheduled" not in document
    assert len(document) < 40_000
