"""`benchmark`, `rank`, `report`, `prices`: from a served model to a figure and what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provisioning.cli.options import Context, shared_options
from provisioning.cli.session import open_hosts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from artifacts.measure.measurement import Measurement
    from artifacts.measure.protocol import Protocol
    from artifacts.measure.results import Results
    from provisioning.cli.console import Console
    from provisioning.config import BenchmarkConfig
    from provisioning.pricing import EndpointCharge
    from provisioning.ranking import Ranking, Row
    from provisioning.results import Kept
    from stacks.closure import Need

RESULTS = click.Path(path_type=Path, dir_okay=False)
EMULATED_BANNER = (
    "EMULATED: these figures are of this machine, not of the named hosts. They prove the way, not the speed."
)


@click.command(short_help="Measure what is served.")
@click.option("--accelerator", metavar="TYPE", help="Which hosts to measure, when there are several kinds.")
@click.option(
    "--mode", type=click.Choice(["quick", "standard", "mlperf"]), help="How long.  [default: quick]"
)
@click.option("--slo-ms", type=click.FloatRange(min=0, min_open=True), help="Latency limit in ms.")
@click.option("--percentile", type=click.FloatRange(50, 99.9), help="Percentile of the limit.  [default: 99]")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Only this rate, in requests/s.")
@click.option("--duration", type=click.FloatRange(min=0, min_open=True), help="Seconds per open-loop point.")
@click.option("--sweep", is_flag=True, help="Find the workers and batch to serve with, and use them.")
@shared_options
def benchmark(context: Context, *, accelerator: str | None, sweep: bool, **wanted: Any) -> None:
    """Measure what is served: latency under Poisson load, and the highest rate within the limit.

    The result goes to build/amazonei/NAME/results/, the raw samples beside it.

    With --sweep, a host is measured with several numbers of requests at once and of server processes. It
    serves with the best from then on, and so does the next ship of the model from here.

    \b
    Examples:
      amazonei benchmark --slo-ms 20 --percentile 99 --mode standard
      amazonei benchmark --sweep --slo-ms 20
    """
    from provisioning.benchmarking import time_for
    from provisioning.results import measure_served

    protocol = _protocol(_measuring(context, wanted))
    time_for(protocol, sweep=sweep)
    calls = open_hosts(context)
    chosen = calls.deployment.choose(accelerator)
    with context.console.activity(f"measuring {chosen}"):
        kept = measure_served(calls, chosen, protocol, context.settings.work_dir, sweep=sweep)
    context.console.say(f"results: {kept.path}")
    document = (
        kept.results.to_json() | {"path": str(kept.path)} | ({"sweep": list(kept.sweep)} if sweep else {})
    )
    context.console.answer(
        document, lambda: _sweep_text(context.console, kept) + measured_text(context.console, kept.results)
    )


def _sweep_text(console: Console, kept: Kept) -> str:
    """Return what each scale sustained, and which one is served now; nothing without a sweep."""
    if not kept.sweep:
        return ""
    rows = [
        (
            str(trial["workers"]),
            str(trial["batch"]),
            f"{trial['rps']:.1f}" if trial["rps"] else trial["reason"],
        )
        for trial in kept.sweep
    ]
    table = console.table(("workers", "at once", "sustained/s"), rows)
    served = kept.served
    return f"{table}\nServed from now on: {served['workers']} workers, {served['batch']} at once.\n\n"


def _measuring(context: Context, wanted: dict[str, Any]) -> BenchmarkConfig:
    from provisioning.config import parse_benchmark

    given = {key: value for key, value in wanted.items() if value is not None}
    return parse_benchmark({"benchmark": dict(context.document.get("benchmark") or {}) | given})


def _protocol(measuring: BenchmarkConfig) -> Protocol:
    from artifacts.measure.protocol import Protocol

    return Protocol.from_json(measuring.protocol_document())


def measured_text(console: Console, results: Results) -> str:
    """Return one target's measurement as a person reads it."""
    parts = [EMULATED_BANNER] if results.emulated else []
    for target in results.targets:
        for measurement in target.measurements:
            parts.append(f"{target.accelerator}, lane {target.lane or 'unknown'}:")
            parts.append(_points_table(console, measurement))
            parts += [measurement.reason, *measurement.warnings, measurement.protocol.disclaimer]
    return "\n".join(part for part in parts if part)


def _points_table(console: Console, measurement: Measurement) -> str:
    rows = [
        (
            f"{point.kind}, {point.concurrency} under way" if point.asked_rps is None else "open, Poisson",
            "-" if point.asked_rps is None else f"{point.asked_rps:.1f}",
            f"{point.throughput_rps:.1f}",
            *(_milliseconds(measurement, place, percent) for percent in (50, 90, 99)),
            str(point.n),
            str(point.errors),
        )
        for place, point in enumerate(measurement.all_points)
    ]
    return console.table(("load", "asked/s", "done/s", "p50 ms", "p90 ms", "p99 ms", "n", "errors"), rows)


def _milliseconds(measurement: Measurement, place: int, percent: float) -> str:
    quantile = measurement.all_points[place].quantile(percent)
    if quantile is None or quantile.value_ms is None:
        return "-" if quantile is None else quantile.state
    return f"{quantile.value_ms:.2f}"


@click.command(short_help="Rank targets by cost per million inferences.")
@click.argument("results", nargs=-1, required=True, type=RESULTS)
@click.option("--traffic", type=click.FloatRange(min=0, min_open=True), help="Your traffic in requests/s.")
@click.option("--utilization", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True,
              help="Share of its peak a host is planned to carry.")  # fmt: skip
@shared_options
def rank(context: Context, *, results: tuple[Path, ...], traffic: float | None, utilization: float) -> None:
    """Rank targets by cost per million inferences from RESULTS files; ties are shown as ties.

    \b
    Example:
      amazonei rank build/amazonei/*/results/*.json --traffic 50
    """
    merged = _merged(results)
    ranking = rank_results(merged, traffic, utilization, balanced=is_balanced(context.document))
    document = {
        "emulated": merged.emulated,
        "targets": ranking.to_json(),
        "price_basis": ranking.price_basis,
        "as_of": ranking.as_of,
        "formula": ranking.formula,
    }
    context.console.answer(document, lambda: ranking_text(context.console, merged, ranking))


@click.command(short_help="Write results as one HTML page.")
@click.argument("results", nargs=-1, required=True, type=RESULTS)
@click.option("--traffic", type=click.FloatRange(min=0, min_open=True), help="Your traffic in requests/s.")
@click.option("--utilization", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True,
              help="Share of its peak a host is planned to carry.")  # fmt: skip
@click.option("--html", type=RESULTS, default=Path("report.html"), show_default=True, help="File to write.")
@shared_options
def report(
    context: Context, *, results: tuple[Path, ...], traffic: float | None, utilization: float, html: Path
) -> None:
    """Write RESULTS as one HTML page with plots: self-contained, no network, readable by anyone.

    \b
    Example:
      amazonei report build/amazonei/*/results/*.json --html report.html
    """
    merged = _merged(results)
    ranking = rank_results(merged, traffic, utilization, balanced=is_balanced(context.document))
    path = write_report(merged, ranking, html, teardown=None)
    context.console.answer({"report": str(path), "emulated": merged.emulated}, f"Report: {path}")


def _merged(paths: tuple[Path, ...]) -> Results:
    from artifacts.measure.results import load
    from provisioning.results import merge

    return merge([load(path) for path in paths])


def is_balanced(document: Mapping[str, Any]) -> bool:
    """Return whether the configuration puts a load balancer before hosts, as a part of their price."""
    rows = document.get("targets", [])
    return any(isinstance(row, dict) and "certificate" in row for row in rows)


def rank_results(
    results: Results, traffic_rps: float | None, utilization: float = 1.0, *, balanced: bool = False
) -> Ranking:
    """Rank results with the shipped prices, what hosts share in a network included in the charges."""
    from provisioning.pricing import EndpointCharge as Charge
    from provisioning.pricing import PriceTable
    from provisioning.ranking import Assumptions
    from provisioning.ranking import rank as decide
    from stacks.closure import AGENT_NEEDS, ELASTIC_INFERENCE_NEEDS, ZONES

    def charge(needs: Iterable[Need]) -> EndpointCharge:
        number = sum(need.billed for need in needs)
        return Charge(endpoints=number, zones=ZONES, balancers=int(balanced))

    assumptions = Assumptions(
        traffic_rps=traffic_rps,
        utilization=utilization,
        endpoints=charge(AGENT_NEEDS),
        endpoints_of_attached=charge((*AGENT_NEEDS, *ELASTIC_INFERENCE_NEEDS)),
    )
    return decide(results, PriceTable.load(), assumptions)


def ranking_text(console: Console, results: Results, ranking: Ranking) -> str:
    """Return the ranking as a person reads it."""
    headings = ("rank", "target", "lane", "p50 ms", "p99 ms", "within limit/s", "$ per million", "at traffic")
    table = console.table(headings, [_ranking_row(row) for row in ranking.rows])
    notes = [f"{row.result.accelerator}: {row.reason}" for row in ranking.rows if row.rank is None]
    ties = [
        f"{row.result.accelerator} ties with {', '.join(row.tie_with)}: {row.interval_basis}"
        for row in ranking.rows
        if row.tie_with
    ]
    basis = f"Cost: {ranking.formula}; {ranking.price_basis}, prices of {ranking.as_of}."
    banner = [EMULATED_BANNER] if results.emulated else []
    return "\n".join([*banner, table, "", *notes, *ties, basis])


def _ranking_row(row: Row) -> tuple[str, ...]:
    cost, latency = row.cost, row.to_json()["latency_ms"] or {}
    at_traffic = "-" if cost is None or cost.at_traffic is None else f"{cost.at_traffic.value:.3f}"
    return (
        "-" if row.rank is None else f"{row.rank}{' (tie)' if row.tie_with else ''}",
        row.result.accelerator,
        row.result.lane or "-",
        *(f"{latency[key]:.2f}" if latency.get(key) is not None else "-" for key in ("p50", "p99")),
        "-" if row.peak_rps is None else f"{row.peak_rps.value:.1f}",
        "-" if cost is None else f"{cost.at_peak.value:.3f}",
        at_traffic,
    )


def write_report(results: Results, ranking: Ranking, path: Path, *, teardown: dict[str, Any] | None) -> Path:
    """Write the HTML report whole or not at all; return its path."""
    from artifacts.errors import BadRequest
    from provisioning.report import render

    beside = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(render(results, ranking, teardown), encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise BadRequest(
            f"{path} cannot be written: {error.strerror}.", "Pass --html with another path."
        ) from None
    return path


@click.command(short_help="Show the dated price table.")
@shared_options
def prices(context: Context) -> None:
    """Show the dated price table that ships with the tool, with the source of each figure."""
    from dataclasses import asdict
    from datetime import UTC, datetime

    from provisioning.pricing import PriceTable

    table = PriceTable.load()
    warning = table.age_warning(datetime.now(UTC).date())
    if warning:
        context.console.warn(warning)
    region = context.settings.region
    every = [*table.instances.values(), *table.items.values()]
    chosen = [price for price in every if not region or price.region in (region, "unspecified")]

    def text() -> str:
        rows = [
            (p.name, p.region, f"{p.amount:.5f}", p.unit, "" if p.verified else "unverified", p.source)
            for p in chosen
        ]
        shown = context.console.table(("what", "region", "USD", "per", "", "source"), rows)
        return f"{shown}\n\n{table.basis}; compiled {table.as_of}."

    document = {"as_of": table.as_of, "basis": table.basis, "prices": [asdict(price) for price in chosen]}
    context.console.answer(document, text)
