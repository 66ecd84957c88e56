"""One measured point: what was asked, what came back, and whether it meets the latency limit. Pure."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from artifacts.measure.load import Load, Sample, Status
from artifacts.measure.statistics import percentile, refuted, smallest_sample_size, upper_bound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from artifacts.measure.protocol import Protocol

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)
ACHIEVED_SHARE = 0.99  # below this share of the rate asked for, percentiles mean nothing
INSUFFICIENT = "insufficient samples"
FAILURES = "failed requests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantile:
    """A latency percentile with its upper confidence bound, in milliseconds.

    Both are None when `state` says why: too few samples, or so many failures that it is infinite.
    """

    percentile: float
    value_ms: float | None
    upper_ms: float | None
    state: str  # "ok", "insufficient samples" or "failed requests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether the limit is met, at which percentile, and in words why."""

    met: bool
    percentile: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One run of load, summarised; the raw samples stay with it until they are packed beside the results."""

    kind: str  # "closed" or "open"
    concurrency: int
    duration_s: float
    asked_rps: float | None
    achieved_rps: float
    throughput_rps: float
    goodput_rps: float | None  # good answers within the limit; None without a limit
    n: int
    errors: int
    unsent: int
    send_lag_p99_ms: float
    confidence: float
    quantiles: tuple[Quantile, ...]  # empty when the rate asked for was not achieved
    verdict: Verdict | None  # None without a limit
    samples: tuple[Sample, ...] = ()

    @property
    def kept_rate(self) -> bool:
        """Whether the generator sent what was asked, so that percentiles mean something."""
        return self.asked_rps is None or self.achieved_rps >= ACHIEVED_SHARE * self.asked_rps

    def quantile(self, percent: float) -> Quantile | None:
        """Return the quantile of this percentile, if it was reported."""
        return next((found for found in self.quantiles if found.percentile == percent), None)

    def to_json(self) -> dict[str, Any]:
        """Return the summary as a JSON object, without the raw samples."""
        document = asdict(replace(self, samples=()))  # asdict copies deeply; there may be many samples
        del document["samples"]
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Point:
        """Return the point of a JSON object; its raw samples are in another file."""
        verdict = document["verdict"]
        quantiles = tuple(Quantile(**quantile) for quantile in document["quantiles"])
        fields = {**document, "quantiles": quantiles, "verdict": Verdict(**verdict) if verdict else None}
        return cls(**fields)


def summarise(load: Load, protocol: Protocol) -> Point:
    """Return the point that a run of load amounts to under the protocol."""
    limit_s = None if protocol.slo_ms is None else protocol.slo_ms / 1000
    ordered = load.ordered_latencies
    kept = load.asked_rps is None or load.achieved_rps >= ACHIEVED_SHARE * load.asked_rps
    confidence = protocol.settings.confidence
    return Point(
        kind="closed" if load.asked_rps is None else "open",
        concurrency=load.concurrency,
        duration_s=load.duration_s,
        asked_rps=load.asked_rps,
        achieved_rps=load.achieved_rps,
        throughput_rps=load.throughput_rps,
        goodput_rps=None if limit_s is None else load.goodput_rps(limit_s),
        n=len(load.samples),
        errors=load.count(Status.FAILED),
        unsent=load.count(Status.UNSENT),
        send_lag_p99_ms=load.send_lag_s * 1000,
        confidence=confidence,
        quantiles=tuple(quantile(ordered, percent, confidence) for percent in PERCENTILES) if kept else (),
        verdict=None if limit_s is None else judge(load, limit_s, protocol),
        samples=load.samples,
    )


def quantile(ordered: Sequence[float], percent: float, confidence: float) -> Quantile:
    """Return a percentile of ascending latencies (seconds) with its bound, or why there is none."""
    if len(ordered) < smallest_sample_size(percent, confidence):
        return Quantile(percentile=percent, value_ms=None, upper_ms=None, state=INSUFFICIENT)
    value, upper = percentile(ordered, percent), upper_bound(ordered, percent, confidence)
    if math.isinf(value) or upper is None:
        return Quantile(percentile=percent, value_ms=None, upper_ms=None, state=FAILURES)
    upper_ms = None if math.isinf(upper) else upper * 1000
    return Quantile(percentile=percent, value_ms=value * 1000, upper_ms=upper_ms, state="ok")


def judge(load: Load, limit_s: float, protocol: Protocol) -> Verdict:
    """Return whether the load met the limit; failed and late requests count as violations."""
    claimed, confidence = protocol.claimed_percentile, protocol.settings.confidence
    ordered = load.ordered_latencies
    over = sum(latency > limit_s for latency in ordered)

    def verdict(reason: str, *, met: bool = False) -> Verdict:
        return Verdict(met=met, percentile=claimed, reason=reason)

    if load.asked_rps is not None and load.achieved_rps < ACHIEVED_SHARE * load.asked_rps:
        return verdict(f"only {load.achieved_rps:.1f} of the {load.asked_rps:.1f} requests/s asked were sent")
    bound = upper_bound(ordered, claimed, confidence)
    if bound is None:
        return verdict(f"{INSUFFICIENT}: {len(ordered)} cannot bound p{claimed:g} at {confidence:.0%}")
    if bound > limit_s:
        return verdict(f"p{claimed:g} is not below the limit at {confidence:.0%} confidence ({over} over)")
    if refuted(len(ordered), over, protocol.percentile, confidence):
        return verdict(f"{over} of {len(ordered)} over the limit refute p{protocol.percentile:g}")
    return verdict(f"p{claimed:g} is below the limit at {confidence:.0%} confidence", met=True)
