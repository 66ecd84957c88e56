"""Results on disk: one file per target, its raw samples beside it, so that a job can be resumed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from artifacts.errors import BadRequest
from artifacts.measure.measurement import Measurement
from artifacts.measure.results import Results, TargetResult, load, save
from artifacts.targets import Family, find
from provisioning.scales import Scales

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from artifacts.measure.protocol import Protocol
    from provisioning.benchmarking import Measured
    from provisioning.operations import HostCalls


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsFolder:
    """Where a deployment's results are kept, and what every document in it says about itself."""

    folder: Path
    deployment: str
    region: str
    created_at: str  # ISO 8601, UTC
    model: str

    def path(self, accelerator: str) -> Path:
        """Return the file of one target."""
        return self.folder / f"{accelerator}.json"

    def samples_path(self, accelerator: str, repeat: int) -> Path:
        """Return the file of one repeat's raw samples."""
        return self.folder / f"{accelerator}.{repeat}.samples.json.gz"

    def sample_names(self, accelerator: str, measured: Sequence[Measured]) -> tuple[str, ...]:
        """Return the names of the files that hold the raw samples, one per repeat."""
        return tuple(self.samples_path(accelerator, i).name for i in range(1, len(measured) + 1))

    def document(self, targets: Sequence[TargetResult]) -> Results:
        """Return the results document that holds these targets."""
        return Results(
            deployment=self.deployment,
            region=self.region,
            created_at=self.created_at,
            model=self.model,
            targets=tuple(targets),
        )

    def keep(self, result: TargetResult, measured: Sequence[Measured] = ()) -> Path:
        """Write one target's raw samples, then its result; return the path of the result."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for repeat, each in enumerate(measured, start=1):
            self.samples_path(result.accelerator, repeat).write_bytes(each.samples)
        save(self.document([result]), self.path(result.accelerator))
        return self.path(result.accelerator)

    def finished(self, accelerator: str, digest: str, protocol: Protocol) -> TargetResult | None:
        """Return the kept result when it is a measurement of this very artifact by this very protocol."""
        path = self.path(accelerator)
        if not path.is_file():
            return None
        result = load(path).targets[0]
        done = bool(result.measurements) and all(each.protocol == protocol for each in result.measurements)
        return result if done and result.failure is None and result.artifact_digest == digest else None


def measurements(measured: Sequence[Measured]) -> tuple[Measurement, ...]:
    """Return what each host found, in the form the results document holds."""
    return tuple(Measurement.from_json(each.measurement) for each in measured)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What was measured: the document, its file, and what a sweep tried before on the first host."""

    results: Results
    path: Path
    served: Mapping[str, Any]
    sweep: tuple[Mapping[str, Any], ...]


def measure_served(
    calls: HostCalls, accelerator: str, protocol: Protocol, work_dir: Path, *, sweep: bool = False
) -> Kept:
    """Measure what a deployment's hosts serve and keep it, and after a sweep the scale for the next ship."""
    from provisioning.benchmarking import benchmark

    measured = benchmark(calls, accelerator, protocol, sweep=sweep)
    served = measured[0].served
    if sweep:
        Scales(work_dir, emulated=calls.emulated).note(accelerator, served)
    target = find(accelerator)
    host = calls.deployment.hosts_of(accelerator)[0]
    folder = ResultsFolder(
        folder=work_dir / "results",
        deployment=calls.deployment.name,
        region=calls.aws.region,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        model=served["name"],
    )
    result = TargetResult(
        accelerator=accelerator,
        instance_type=host.instance_type,
        elastic_inference=accelerator if target.family is Family.ELASTIC_INFERENCE else None,
        emulated=calls.emulated,
        stand_in=served["stand_in"],
        lane=served["lane"],
        artifact_digest=served["digest"],
        measurements=measurements(measured),
        samples=folder.sample_names(accelerator, measured),
    )
    path = folder.keep(result, measured)
    return Kept(results=folder.document([result]), path=path, served=served, sweep=measured[0].sweep)


def merge(documents: Sequence[Results]) -> Results:
    """Return one document with the targets of all; repeats of one target become one target.

    Raises `BadRequest` when the documents are of different models or regions: their costs do not compare.
    """
    first = documents[0]
    for document in documents[1:]:
        if (document.model, document.region) != (first.model, first.region):
            raise BadRequest(
                f"The results are of different things: {first.model} in {first.region}, and "
                f"{document.model} in {document.region}.",
                "Rank results of one model in one region.",
            )
    merged: dict[str, TargetResult] = {}
    for target in (target for document in documents for target in document.targets):
        merged[target.accelerator] = _joined(merged.get(target.accelerator), target)
    return replace(first, targets=tuple(merged.values()))


def _joined(earlier: TargetResult | None, later: TargetResult) -> TargetResult:
    """Return the repeats of one artifact on one target as one result; another artifact replaces it."""
    if earlier is None or earlier.artifact_digest != later.artifact_digest:
        return later
    return replace(
        later,
        parity=later.parity or earlier.parity,
        measurements=(*earlier.measurements, *later.measurements),
        samples=(*earlier.samples, *later.samples),
    )
