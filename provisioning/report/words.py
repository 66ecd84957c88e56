"""The sentences and figures of the report, as plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from artifacts.measure.measurement import Measurement
    from artifacts.measure.points import Quantile
    from provisioning.cost import Interval
    from provisioning.ranking import Ranking, Row

NOTHING = "\N{EN DASH}"
EMULATED = (
    "Emulated: these figures come from processes on one computer standing in for hosts. They show that the "
    "job runs from end to end; they are not the speed or the cost of any real accelerator."
)


def headline(ranking: Ranking) -> str:
    """Return the answer in one sentence."""
    # Never capitalised by machine: a target's name must stay as AWS spells it.
    start = "In the emulation, the" if ranking.emulated else "The"
    best, limit_words = ranking.best, _limit(ranking, " within ")
    if not best:
        return f"{start} answer is that none of {_number(ranking)} could be ranked{limit_words}."
    traffic = ranking.assumptions.traffic_rps
    served = "" if traffic is None else f" for {rate(traffic)}"
    names = _listed([row.result.accelerator for row in best])
    price = f"{_prices(best)} per million inferences{limit_words}"
    if len(best) > 1:
        return (
            f"{start} cheapest of {_number(ranking)}{served} are {names}, tied at {price}: "
            "the measurement cannot tell them apart."
        )
    return f"{start} cheapest of {_number(ranking)}{served} is {names}: {price}, {_how(best[0])}."


def _number(ranking: Ranking) -> str:
    return "one target" if len(ranking.rows) == 1 else f"{len(ranking.rows)} targets"


def _how(row: Row) -> str:
    hosts = row.cost.hosts_at_traffic if row.cost else None
    if hosts is not None:
        return f"with {hosts} host{'s' if hosts > 1 else ''}"
    return f"at its peak of {rate(row.peak_rps.value)}" if row.peak_rps else "as measured"


def _prices(rows: tuple[Row, ...]) -> str:
    values = sorted(row.cost.decisive.value for row in rows if row.cost)
    return " to ".join(dict.fromkeys((money(values[0]), money(values[-1]))))


def _limit(ranking: Ranking, before: str) -> str:
    for row in ranking.rows:
        if row.measurement is not None and row.measurement.protocol.slo_ms is not None:
            return f"{before}{limit(row.measurement)}"
    return ""


def limit(measurement: Measurement) -> str:
    """Return the latency limit in words, with the percentile it is claimed at."""
    protocol = measurement.protocol
    if protocol.slo_ms is None:
        return "no latency limit"
    return f"{protocol.slo_ms:g} ms (p{protocol.claimed_percentile:g})"


def money(dollars: float) -> str:
    """Return US dollars with cents, or with three significant digits below ten cents."""
    return f"${dollars:,.2f}" if dollars >= 0.1 or dollars == 0 else f"${dollars:.3g}"


def rate(rps: float) -> str:
    """Return a rate in requests per second."""
    return f"{figure(rps)} requests/s"


def figure(value: float) -> str:
    """Return a number with three significant digits, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def span(interval: Interval, show: Any = figure) -> str:
    """Return an interval as "low to high", or as one figure when it has no width."""
    low, high = show(interval.low), show(interval.high)
    return low if low == high else f"{low} to {high}"


def quantile(found: Quantile | None) -> tuple[str, str]:
    """Return a latency in milliseconds and its upper bound, or why there is none."""
    if found is None:
        return NOTHING, "not measured at the rate asked"
    if found.value_ms is None:
        return NOTHING, found.state
    upper = (
        "no upper bound" if found.upper_ms is None else f"\N{LESS-THAN OR EQUAL TO} {figure(found.upper_ms)}"
    )
    return figure(found.value_ms), upper


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
