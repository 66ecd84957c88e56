"""Results on disk: one file per target, its raw samples beside it, so that a job can be resumed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from artifacts.measure.measurement import Measurement
from artifacts.measure.results import Results, TargetResult, load, save

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from provisioning.benchmarking import Measured


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

    def finished(self, accelerator: str, digest: str) -> TargetResult | None:
        """Return the kept result when it is a measurement of this very artifact."""
        path = self.path(accelerator)
        if not path.is_file():
            return None
        result = load(path).targets[0]
        same = result.artifact_digest == digest and result.failure is None
        return result if same else None


def measurements(measured: Sequence[Measured]) -> tuple[Measurement, ...]:
    """Return what each host found, in the form the results document holds."""
    return tuple(Measurement.from_json(each.measurement) for each in measured)
