"""The parts of the report below the headline, each a list of elements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provisioning.cost import FORMULA
from provisioning.report import words
from provisioning.report.elements import element, table
from provisioning.report.plots import COLOURS, Series, latency_plot, series_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from xml.etree.ElementTree import Element

    from artifacts.measure.measurement import Measurement
    from provisioning.cost import Cost
    from provisioning.ranking import Ranking, Row

LOAD = "one request at a time, then more at once, then random (Poisson) arrivals at rising rates"
DOTS = (
    "Filled dots met the limit, hollow ones did not: a dot below the line still misses when its upper bound, "
    "or too many slow requests, lie above. "
)
LATENCY = (
    "from the time a request was due to its answer, over pooled raw samples; failed requests count as "
    "infinitely late"
)


def ranking(found: Ranking) -> list[Element]:
    """Return the table of targets, best first, ties marked."""
    traffic = found.assumptions.traffic_rps
    at_traffic = () if traffic is None else (f"$ per million at {words.rate(traffic)}",)
    headings = (
        *("rank", "target", *at_traffic, "$ per million at peak", "peak, requests/s"),
        *("p50, ms", "p90, ms", "p99, ms", "$ per hour"),
    )
    rows = [_ranked(row) if row.rank is not None else _unranked(row, len(headings)) for row in found.rows]
    return [element("h2", "Ranking"), table(headings, rows), *_tie_notes(found)]


def _ranked(row: Row) -> Element:
    tie = element("small", "tie" if row.tie_with else "")
    cells = [
        element("td", f"{row.rank}", tie, class_="rank"),
        _name(row),
        *(_costs(row.cost) if row.cost else []),
        *([_figure(words.figure(row.peak_rps.value), words.span(row.peak_rps))] if row.peak_rps else []),
        *(_latency(row.measurement, percent) for percent in (50, 90, 99)),
        *([_figure(words.money(row.cost.hourly), "1 host, network")] if row.cost else []),
    ]
    shown = " ".join(["first" if row.rank == 1 else "", "tied" if row.tie_with else ""]).strip()
    return element("tr", *cells, class_=shown)


def _costs(cost: Cost) -> list[Element]:
    at_peak = _figure(words.money(cost.at_peak.value), words.span(cost.at_peak, words.money))
    if cost.at_traffic is None or cost.hosts_at_traffic is None:
        return [at_peak]
    hosts = f"{cost.hosts_at_traffic} host{'s' if cost.hosts_at_traffic > 1 else ''}"
    return [_figure(words.money(cost.at_traffic.value), hosts), at_peak]


def _unranked(row: Row, columns: int) -> Element:
    reason = element("td", row.reason, colspan=columns - 2, class_="reason")
    return element("tr", element("td", words.NOTHING, class_="rank"), _name(row), reason, class_="unranked")


def _name(row: Row) -> Element:
    badges = [
        element("span", text, class_="badge")
        for text, shown in (("emulated", row.result.emulated), ("CPU stand-in", row.result.stand_in))
        if shown
    ]
    lane = row.result.lane if row.rank is not None else None
    small = [element("small", f"lane {lane}")] if lane else []
    return element("td", row.result.accelerator, *small, element("small", *badges), class_="name")


def _latency(measurement: Measurement | None, percent: float) -> Element:
    found = measurement.latency_point.quantile(percent) if measurement else None
    return _figure(*words.quantile(found))


def _figure(value: str, small: str) -> Element:
    return element("td", value, element("small", small))


def _tie_notes(found: Ranking) -> list[Element]:
    bases = sorted({row.interval_basis for row in found.rows if row.interval_basis})
    if not bases:
        return []
    rule = "Targets whose cost intervals overlap with the cheapest of a group share its rank."
    return [element("p", f"{rule} Small figures are bounds; {'; '.join(bases)}.", class_="note")]


def cost_bars(found: Ranking) -> list[Element]:
    """Return one bar per ranked target, with its interval."""
    costs = [(row.result.accelerator, row.cost.decisive) for row in found.rows if row.cost is not None]
    if not costs:
        return []
    longest = max(cost.high for _, cost in costs)
    cells = []
    for name, cost in costs:
        left, width = 100 * cost.low / longest, 100 * (cost.high - cost.low) / longest
        bar = element("div", class_="fill", style=f"width:{100 * cost.value / longest:.2f}%")
        interval = element("div", class_="range", style=f"left:{left:.2f}%;width:{width:.2f}%")
        track = element("div", bar, interval, class_="track")
        cells += [element("b", name), track, element("span", words.money(cost.value))]
    traffic = found.assumptions.traffic_rps
    where = "at its measured peak" if traffic is None else f"at {words.rate(traffic)}, whole hosts"
    return [
        element("h2", f"Cost per million inferences, {where}"),
        element("div", *cells, class_="bars"),
        element(
            "p",
            "The thin line on a bar spans the interval the measurement leaves the cost in.",
            class_="note",
        ),
    ]


def latency(found: Ranking) -> list[Element]:
    """Return the plot of latency against rate, with its key."""
    measured = [(row, row.measurement) for row in found.rows if row.measurement is not None]
    if not measured:
        return []
    protocol = measured[0][1].protocol
    all_series = [series_of(row.result.accelerator, measurement) for row, measurement in measured]
    plot = latency_plot(all_series, protocol.slo_ms, protocol.claimed_percentile)
    if plot is None:
        return []
    key = [
        element("li", _key(series), class_=f"s{number % COLOURS + 1}")
        for number, series in enumerate(all_series)
    ]
    words_on_dots = DOTS if protocol.slo_ms else ""
    note = f"{words_on_dots}Requests arrive at random times; latency counts from when each was due."
    return [
        element("h2", "Latency as the rate rises"),
        element("div", plot, class_="plot", tabindex="0", role="region", aria_label="plot"),
        element("ul", *key, class_="key"),
        element("p", note, class_="note"),
    ]


def _key(series: Series) -> str:
    if not series.marks and not series.refused:
        return f"{series.name} (only one request at a time: that was too slow already)"
    if series.refused:
        return f"{series.name} ({series.refused} points not shown: rate not kept, or too few good answers)"
    return series.name


def teardown(verdict: Mapping[str, Any] | None) -> list[Element]:
    """Return whether everything is gone."""
    title = element("h2", "Teardown")
    if verdict is None:
        return [
            title,
            element("p", "Nothing was torn down by this run: the deployment may still cost money."),
        ]
    left = [str(each) for each in verdict.get("left", ())]
    if verdict.get("verified") and not left:
        gone = "Everything is gone: AWS was asked again afterwards and nothing of the deployment was found."
        return [title, element("p", gone, class_="good")]
    problem = "Something is left behind:" if left else "It was not verified that everything is gone."
    rows = [element("li", each) for each in left]
    return [title, element("p", problem, class_="bad"), element("ul", *rows, class_="plain")]


def method(found: Ranking) -> list[Element]:
    """Return how the figures were measured, and every warning about them."""
    measured = [(row, row.measurement) for row in found.rows if row.measurement is not None]
    if not measured:
        return []
    first = measured[0][1]
    facts = _protocol_facts(first)
    for row, measurement in measured:
        facts.append((row.result.accelerator, _measured(measurement)))
        facts += [("", f"Warning: {warning}.") for warning in measurement.warnings]
    pairs = [part for term, text in facts for part in (element("dt", term), element("dd", text))]
    return [element("h2", "How it was measured"), element("dl", *pairs)]


def _protocol_facts(measurement: Measurement) -> list[tuple[str, str]]:
    protocol, confidence = measurement.protocol, measurement.protocol.settings.confidence
    return [
        ("mode", protocol.disclaimer or protocol.mode.value),
        ("limit", f"{words.limit(measurement)}; asked for p{protocol.percentile:g}"),
        (
            "load",
            f"{LOAD}; seed {protocol.seed}",
        ),
        (
            "latency",
            f"{LATENCY}; bounds at {confidence:.0%} confidence",
        ),
    ]


def _measured(measurement: Measurement) -> str:
    warm_up, generator, point = measurement.warm_up, measurement.generator, measurement.latency_point
    settled = "settled" if warm_up.steady else "not settled"
    load = f"{words.rate(point.achieved_rps)}" if point.kind == "open" else "one request at a time"
    return (
        f"latencies at {load}, {point.n} samples; {warm_up.requests} warm-up requests in "
        f"{warm_up.seconds:.1f} s ({settled}); load from {generator.placement}, "
        f"{generator.headroom:.1f} times as fast as the server; {measurement.reason}"
    )


def prices(found: Ranking) -> list[Element]:
    """Return the itemised hourly prices with their sources, and the formula."""
    rows = [
        element(
            "tr",
            element("td", row.result.accelerator, class_="name"),
            element("td", item.label),
            element("td", words.money(item.hourly)),
            element("td", item.basis),
            element("td", item.source, class_="reason"),
        )
        for row in found.rows
        if row.cost is not None
        for item in row.cost.items
    ]
    basis = f"{found.price_basis}; compiled {found.as_of}; not checked against a live AWS account."
    return [
        element("h2", "Prices"),
        element("p", f"Cost per million = {FORMULA}. {basis}"),
        *([table(("target", "item", "per hour", "basis", "source"), rows)] if rows else []),
    ]
