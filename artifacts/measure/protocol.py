"""How long, how often and with what confidence to measure: the three modes and the user's options.

The durations are this project's own; the order (warm-up, closed loop, open loop, rate search) follows
https://github.com/mlcommons/inference_policies/blob/master/inference_rules.adoc, but no mode is an
MLPerf run and none of its figures is an MLPerf result.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from artifacts.errors import BadRequest
from artifacts.measure.statistics import smallest_sample_size

if TYPE_CHECKING:
    from collections.abc import Mapping


class Mode(str, Enum):  # noqa: UP042 - hosts run Python 3.10
    """How much time a measurement may take."""

    QUICK = "quick"
    STANDARD = "standard"
    MLPERF = "mlperf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The durations (seconds) and strictness of one mode."""

    confidence: float
    claimable: float  # the highest percentile the verdict may rest on
    spare: int  # samples over the bound that a point is sized for
    window_s: float
    warm_up_cap_s: float
    closed_s: float
    point_s: float
    point_cap_s: float
    confirm_s: float  # one longer run at the rate found; 0 for none
    tolerance: float  # the rate search stops when its bracket is this narrow
    probes: int
    timeout_s: float


SETTINGS = {
    Mode.QUICK: Settings(
        confidence=0.95,
        claimable=90.0,
        spare=1,
        window_s=0.4,
        warm_up_cap_s=3.2,
        closed_s=1.0,
        point_s=1.2,
        point_cap_s=8.0,
        confirm_s=0.0,
        tolerance=0.10,
        probes=5,
        timeout_s=5.0,
    ),
    Mode.STANDARD: Settings(
        confidence=0.99,
        claimable=99.9,
        spare=5,
        window_s=2.0,
        warm_up_cap_s=30.0,
        closed_s=5.0,
        point_s=10.0,
        point_cap_s=120.0,
        confirm_s=60.0,
        tolerance=0.05,
        probes=10,
        timeout_s=10.0,
    ),
    Mode.MLPERF: Settings(
        confidence=0.99,
        claimable=99.9,
        spare=10,
        window_s=5.0,
        warm_up_cap_s=50.0,
        closed_s=10.0,
        point_s=30.0,
        point_cap_s=300.0,
        confirm_s=600.0,
        tolerance=0.03,
        probes=12,
        timeout_s=30.0,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """What the user asked to have measured; wrong values raise BadRequest."""

    mode: Mode = Mode.QUICK
    slo_ms: float | None = None
    percentile: float = 99.0
    rate: float | None = None  # measure at this rate only, instead of searching
    duration_s: float | None = None  # seconds per open-loop point, instead of the mode's
    seed: int = 20261121
    max_concurrency: int = 32

    def __post_init__(self) -> None:
        _positive("--slo-ms", self.slo_ms)
        _positive("--rate", self.rate)
        _positive("--duration", self.duration_s)
        if not 50 <= self.percentile <= 99.9:
            raise BadRequest(
                f"The percentile must be between 50 and 99.9, not {self.percentile:g}.", "Use 90, 95 or 99."
            )
        if not 1 <= self.max_concurrency <= 1024:
            raise BadRequest(f"{self.max_concurrency} connections cannot be opened.", "Use 1 to 1024.")

    @property
    def settings(self) -> Settings:
        """The durations of the mode."""
        return SETTINGS[self.mode]

    @property
    def claimed_percentile(self) -> float:
        """The percentile the verdict rests on: quick runs are too short to claim more than p90."""
        return min(self.percentile, self.settings.claimable)

    @property
    def disclaimer(self) -> str:
        """What has to be printed beside the figures of this mode."""
        if self.mode is Mode.MLPERF:
            return "MLPerf-style load; this is not an MLPerf result."
        if self.mode is Mode.QUICK:
            return f"Quick mode: the verdict rests on p{self.claimed_percentile:g}."
        return ""

    def point_duration_s(self, rate: float) -> float:
        """Return how long a point at this rate runs to collect the samples its claim needs."""
        if self.duration_s is not None:
            return self.duration_s
        settings = self.settings
        needed = smallest_sample_size(self.claimed_percentile, settings.confidence, settings.spare)
        return min(max(settings.point_s, needed / rate), settings.point_cap_s)

    def to_json(self) -> dict[str, Any]:
        """Return the protocol as a JSON object."""
        return {**asdict(self), "mode": self.mode.value}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Protocol:
        """Return the protocol of a JSON object; an unknown key or mode raises BadRequest."""
        unknown = sorted(set(document) - set(cls.__dataclass_fields__))
        if unknown:
            raise BadRequest(f"A benchmark has no option {unknown[0]!r}.", "See `amazonei benchmark --help`.")
        mode = str(document.get("mode", Mode.QUICK.value))
        if mode not in {known.value for known in Mode}:
            raise BadRequest(f"There is no benchmark mode {mode!r}.", "Use quick, standard or mlperf.")
        return cls(**{**document, "mode": Mode(mode)})


def _positive(option: str, value: float | None) -> None:
    if value is not None and not value > 0:
        raise BadRequest(
            f"{option} must be more than 0, not {value:g}.", "Leave it out to use the mode's own."
        )
