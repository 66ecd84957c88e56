from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from artifacts.errors import BadRequest
from provisioning.benchmarking import Measured
from provisioning.results import ResultsFolder, merge
from tests.provisioning.measured import a_measurement, a_target, results_of

if TYPE_CHECKING:
    from pathlib import Path

    from artifacts.measure.protocol import Protocol

MEASUREMENT = a_measurement()
PROTOCOL = MEASUREMENT.protocol
DIGEST = "d" * 64


@pytest.fixture
def folder(tmp_path: Path) -> ResultsFolder:
    return ResultsFolder(
        folder=tmp_path / "results",
        deployment="bench",
        region="us-west-2",
        created_at="2026-11-21T08:00:00+00:00",
        model="digits",
    )


def finished(folder: ResultsFolder, digest: str = DIGEST, protocol: Protocol = PROTOCOL) -> bool:
    return folder.finished("c7i.xlarge", digest, protocol) is not None


def test_a_kept_result_is_found_again_with_its_samples_beside_it(folder: ResultsFolder) -> None:
    target = replace(a_target("c7i.xlarge", MEASUREMENT), artifact_digest=DIGEST)
    measured = Measured(instance_id="i-1", served={}, measurement={}, samples=b"raw")
    folder.keep(target, [measured, measured])
    found = folder.finished("c7i.xlarge", DIGEST, PROTOCOL)
    assert found is not None
    assert (found.accelerator, found.parity, found.measurements[0].peak) == (
        "c7i.xlarge",
        target.parity,
        MEASUREMENT.peak,
    )
    assert [path.read_bytes() for path in sorted(folder.folder.glob("*.gz"))] == [b"raw", b"raw"]
    assert folder.sample_names("c7i.xlarge", [measured, measured]) == (
        "c7i.xlarge.1.samples.json.gz",
        "c7i.xlarge.2.samples.json.gz",
    )


def test_what_was_measured_otherwise_is_measured_again(folder: ResultsFolder) -> None:
    assert not finished(folder)
    folder.keep(replace(a_target("c7i.xlarge", MEASUREMENT), artifact_digest=DIGEST))
    assert finished(folder)
    assert not finished(folder, digest="e" * 64)
    assert not finished(folder, protocol=replace(PROTOCOL, slo_ms=1))
    folder.keep(replace(a_target("c7i.xlarge", MEASUREMENT, failure="no answer"), artifact_digest=DIGEST))
    assert not finished(folder)
    folder.keep(replace(a_target("c7i.xlarge"), artifact_digest=DIGEST))
    assert not finished(folder)


def test_results_of_several_targets_become_one_document() -> None:
    merged = merge([results_of(a_target("c7i.xlarge", MEASUREMENT)), results_of(a_target("m5.xlarge"))])
    assert [target.accelerator for target in merged.targets] == ["c7i.xlarge", "m5.xlarge"]


def test_repeats_of_one_artifact_on_one_target_are_joined() -> None:
    once = replace(a_target("c7i.xlarge", MEASUREMENT), artifact_digest=DIGEST, samples=("1.gz",))
    without_parity = replace(once, parity=None, samples=("2.gz",))
    (target,) = merge([results_of(once), results_of(without_parity)]).targets
    assert (len(target.measurements), target.samples) == (2, ("1.gz", "2.gz"))
    assert target.parity == once.parity


def test_a_later_artifact_replaces_an_earlier_one() -> None:
    earlier = replace(a_target("c7i.xlarge", MEASUREMENT), artifact_digest=DIGEST)
    later = replace(a_target("c7i.xlarge"), artifact_digest="e" * 64)
    assert merge([results_of(earlier), results_of(later)]).targets == (later,)


@pytest.mark.parametrize("other", [{"model": "minilm"}, {"region": "eu-west-1"}])
def test_what_does_not_compare_is_not_merged(other: dict[str, str]) -> None:
    target = a_target("c7i.xlarge")
    with pytest.raises(BadRequest, match="different things"):
        merge([results_of(target), results_of(target, **other)])
