"""The results document: one versioned JSON file for many targets, with the raw samples beside it.

Everything a ranking or a report says can be made again from these files.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from artifacts.errors import BadRequest
from artifacts.measure.load import Load, Sample, Status
from artifacts.measure.measurement import Measurement

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RESULTS_FORMAT = "amazonei-results/1"
SAMPLES_FORMAT = "amazonei-samples/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityRecord:
    """How far the compiled model's answers are from the eager model's."""

    max_abs_diff: float
    atol: float
    passed: bool

    def to_json(self) -> dict[str, Any]:
        """Return the record as the JSON object the contract promises."""
        return {"max_abs_diff": self.max_abs_diff, "atol": self.atol, "passed": self.passed}


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetResult:
    """What was found out about one target, or why nothing was."""

    accelerator: str
    instance_type: str
    elastic_inference: str | None = None
    emulated: bool
    stand_in: bool = False  # served by a CPU program because the accelerator is not there
    lane: str | None = None
    parity: ParityRecord | None = None
    artifact_digest: str | None = None
    measurements: tuple[Measurement, ...] = ()  # one per repeat
    samples: tuple[str, ...] = ()  # file names of the packed raw samples, one per repeat
    failure: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        return {
            "accelerator": self.accelerator,
            "instance_type": self.instance_type,
            "elastic_inference": self.elastic_inference,
            "emulated": self.emulated,
            "stand_in": self.stand_in,
            "lane": self.lane,
            "parity": self.parity.to_json() if self.parity else None,
            "artifact_digest": self.artifact_digest,
            "measurements": [measurement.to_json() for measurement in self.measurements],
            "samples": list(self.samples),
            "failure": self.failure,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> TargetResult:
        """Return the result of a JSON object."""
        parity = document["parity"]
        measurements = tuple(Measurement.from_json(each) for each in document["measurements"])
        fields = {
            **document,
            "parity": ParityRecord(**parity) if parity else None,
            "measurements": measurements,
            "samples": tuple(document["samples"]),
        }
        return cls(**fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Every target of one deployment's benchmark."""

    deployment: str
    region: str
    created_at: str  # ISO 8601, UTC
    model: str
    targets: tuple[TargetResult, ...]

    @property
    def emulated(self) -> bool:
        """Whether any figure in here comes from an emulated host."""
        return any(target.emulated for target in self.targets)

    def to_json(self) -> dict[str, Any]:
        """Return the document as a JSON object."""
        return {
            "format": RESULTS_FORMAT,
            "deployment": self.deployment,
            "region": self.region,
            "created_at": self.created_at,
            "model": self.model,
            "emulated": self.emulated,
            "targets": [target.to_json() for target in self.targets],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Results:
        """Return the results of a JSON object; another format raises BadRequest."""
        if document.get("format") != RESULTS_FORMAT:
            raise BadRequest(
                f"This is not a results document of format {RESULTS_FORMAT}.",
                "`amazonei benchmark` writes one.",
            )
        targets = tuple(TargetResult.from_json(target) for target in document["targets"])
        names = ("deployment", "region", "created_at", "model")
        return cls(**{name: document[name] for name in names}, targets=targets)


def save(results: Results, path: Path) -> None:
    """Write the document whole or not at all."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(results.to_json(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    beside.replace(path)


def load(path: Path) -> Results:
    """Read a document; a file that is missing, broken or of another format raises BadRequest."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return Results.from_json(document)
    except FileNotFoundError as missing:
        raise BadRequest(f"There is no results file {path}.", "`amazonei benchmark` writes one.") from missing
    except (ValueError, KeyError, TypeError, AttributeError) as broken:
        raise BadRequest(f"{path} is not readable: {broken}.", "Run the benchmark again.") from broken


def pack_samples(measurement: Measurement) -> bytes:
    """Return every raw sample, gzipped, point by point in the measurement's own order."""
    points = [
        {
            "asked_rps": point.asked_rps,
            "concurrency": point.concurrency,
            "duration_s": point.duration_s,
            "scheduled": [round(sample.scheduled, 7) for sample in point.samples],
            "sent": [round(sample.sent, 7) for sample in point.samples],
            "done": [round(sample.done, 7) for sample in point.samples],
            "status": [sample.status.value for sample in point.samples],
        }
        for point in measurement.all_points
    ]
    document = json.dumps({"format": SAMPLES_FORMAT, "unit": "seconds", "points": points})
    return gzip.compress(document.encode(), mtime=0)


def unpack_samples(packed: bytes) -> tuple[Load, ...]:
    """Return the runs of load that were packed, from which every point can be summarised again."""
    document = json.loads(gzip.decompress(packed))
    if document.get("format") != SAMPLES_FORMAT:
        raise BadRequest(f"These are not samples of format {SAMPLES_FORMAT}.", "Run the benchmark again.")
    return tuple(_load(point) for point in document["points"])


def _load(point: Mapping[str, Any]) -> Load:
    rows = zip(point["scheduled"], point["sent"], point["done"], point["status"], strict=True)
    samples = tuple(Sample(scheduled, sent, done, Status(status)) for scheduled, sent, done, status in rows)
    return Load(
        asked_rps=point["asked_rps"],
        concurrency=point["concurrency"],
        duration_s=point["duration_s"],
        samples=samples,
    )
