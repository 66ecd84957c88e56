"""Which target serves the model for the least money: results and prices in, a ranking out. Pure.

Targets whose cost intervals overlap share a rank: the measurement cannot tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

from provisioning.cost import FORMULA, Assumptions, Cost, Interval, cost_of
from provisioning.pricing import HostCharge, PriceTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from artifacts.measure.measurement import Measurement
    from artifacts.measure.points import Point
    from artifacts.measure.results import Results, TargetResult

__all__ = ["Assumptions", "Ranking", "Row", "rank"]

ENOUGH_REPEATS = 3
FROM_REPEATS = "the interval spans the peaks of {n} repeats"
FROM_SEARCH = (
    "fewer than 3 repeats ({n}): the interval spans, within a run, the highest rate that met the limit "
    "and the lowest that did not"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One target in the ranking; without a rank, `reason` says why."""

    result: TargetResult
    peak_rps: Interval | None = None
    interval_basis: str = ""
    cost: Cost | None = None
    rank: int | None = None
    tie_with: tuple[str, ...] = ()
    reason: str

    @property
    def measurement(self) -> Measurement | None:
        """The measurement that stands for the target: the one with the median peak."""
        ordered = sorted(self.result.measurements, key=lambda found: found.peak.rps if found.peak else 0.0)
        return ordered[len(ordered) // 2] if ordered else None

    def to_json(self) -> dict[str, Any]:
        """Return the row as the JSON object the contract promises."""
        parity, measurement = self.result.parity, self.measurement
        return {
            "accelerator": self.result.accelerator,
            "emulated": self.result.emulated,
            "stand_in": self.result.stand_in,
            "lane": self.result.lane,
            "parity": parity.to_json() if parity else None,
            "latency_ms": _latency(measurement.latency_point) if measurement else None,
            "throughput_rps": self.peak_rps.value if self.peak_rps else None,
            "slo": _slo(measurement) if measurement else None,
            "cost_per_million": _cost(self.cost, self.interval_basis) if self.cost else None,
            "rank": self.rank,
            "tie_with": list(self.tie_with),
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The rows, best first; those without a rank come last."""

    rows: tuple[Row, ...]
    assumptions: Assumptions
    emulated: bool
    as_of: str
    price_basis: str

    @property
    def formula(self) -> str:
        """How cost per million is computed, in words."""
        return FORMULA

    @property
    def best(self) -> tuple[Row, ...]:
        """The rows that share the first rank; none when no target met the limit."""
        return tuple(row for row in self.rows if row.rank == 1)

    def to_json(self) -> list[dict[str, Any]]:
        """Return the rows as the `targets` of the contract's document."""
        return [row.to_json() for row in self.rows]


def rank(results: Results, prices: PriceTable, assumptions: Assumptions) -> Ranking:
    """Rank the targets by cost per million; a price that is missing raises PriceMissing."""
    real = any(not target.emulated and target.measurements for target in results.targets)
    ranked: list[tuple[Cost, Row]] = []
    unranked: list[Row] = []
    for target in results.targets:
        if reason := _disqualification(target, real=real):
            unranked.append(Row(result=target, reason=reason))
            continue
        peak, basis = _peak(target.measurements)
        host = HostCharge(
            instance_type=target.instance_type,
            elastic_inference=target.elastic_inference,
            volume_gib=assumptions.volume_gib,
        )
        cost = cost_of(host, peak, prices, results.region, assumptions)
        reason = target.measurements[0].reason
        row = Row(result=target, peak_rps=peak, interval_basis=basis, cost=cost, reason=reason)
        ranked.append((cost, row))
    ranked.sort(key=lambda pair: pair[0].decisive.value)
    return Ranking(
        rows=(*_with_ties(ranked), *unranked),
        assumptions=assumptions,
        emulated=results.emulated,
        as_of=prices.as_of,
        price_basis=f"{prices.basis}, {results.region}",
    )


def _with_ties(ordered: Sequence[tuple[Cost, Row]]) -> list[Row]:
    """Give each row its rank; those that overlap with the cheapest of a group belong to the group."""
    groups: list[list[tuple[Cost, Row]]] = []
    for cost, row in ordered:
        if groups and groups[-1][0][0].decisive.overlaps(cost.decisive):
            groups[-1].append((cost, row))
        else:
            groups.append([(cost, row)])
    rows: list[Row] = []
    for group in groups:
        first = len(rows) + 1
        names = [row.result.accelerator for _, row in group]
        rows.extend(
            replace(row, rank=first, tie_with=tuple(name for name in names if name != row.result.accelerator))
            for _, row in group
        )
    return rows


def _disqualification(target: TargetResult, *, real: bool) -> str:
    """Return why the target cannot be ranked, or nothing when it can."""
    if target.failure:
        return target.failure
    if not target.measurements:
        return "nothing was measured"
    if target.parity is not None and not target.parity.passed:
        return f"its answers differ from the eager model's by {target.parity.max_abs_diff:g}"
    if target.emulated and real:
        return "measured on an emulated host, which cannot be compared with the real ones beside it"
    missed = [measurement for measurement in target.measurements if measurement.peak is None]
    if not missed:
        return ""
    repeats = f" (in {len(missed)} of {len(target.measurements)} repeats)" if target.measurements[1:] else ""
    return f"limit missed{repeats}: {missed[0].reason}"


def _peak(measurements: Sequence[Measurement]) -> tuple[Interval, str]:
    """Return the peak with its interval, and in words where the interval comes from."""
    peaks = [measurement.peak for measurement in measurements if measurement.peak is not None]
    rates = [peak.rps for peak in peaks]
    if len(peaks) >= ENOUGH_REPEATS:
        basis = FROM_REPEATS.format(n=len(peaks))
        return Interval(value=median(rates), low=min(rates), high=max(rates)), basis
    low, high = min(peak.low_rps for peak in peaks), max(peak.high_rps for peak in peaks)
    return Interval(value=median(rates), low=low, high=high), FROM_SEARCH.format(n=len(peaks))


def _latency(point: Point) -> dict[str, Any]:
    quantiles = {f"p{quantile.percentile:g}": quantile for quantile in point.quantiles}
    return {
        **{name: quantile.value_ms for name, quantile in quantiles.items()},
        "n": point.n,
        "confidence": point.confidence,
        "upper": {name: quantile.upper_ms for name, quantile in quantiles.items()},
        "state": {name: quantile.state for name, quantile in quantiles.items()},
        "load": point.kind,
        "rate_rps": point.achieved_rps,
    }


def _slo(measurement: Measurement) -> dict[str, Any]:
    protocol = measurement.protocol
    return {
        "slo_ms": protocol.slo_ms,
        "percentile": protocol.percentile,
        "claimed_percentile": protocol.claimed_percentile,
        "met": None if protocol.slo_ms is None else measurement.peak is not None,
        "reason": measurement.reason,
    }


def _cost(cost: Cost, interval_basis: str) -> dict[str, Any]:
    return {
        "at_peak": cost.at_peak.value,
        "at_peak_interval": [cost.at_peak.low, cost.at_peak.high],
        "at_traffic": cost.at_traffic.value if cost.at_traffic else None,
        "at_traffic_interval": [cost.at_traffic.low, cost.at_traffic.high] if cost.at_traffic else None,
        "hosts_at_traffic": cost.hosts_at_traffic,
        "hourly": cost.hourly,
        "interval_basis": interval_basis,
        "formula": FORMULA,
        "price_basis": cost.price_basis,
        "as_of": cost.as_of,
    }
