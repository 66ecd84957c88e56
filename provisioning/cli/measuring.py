"""`benchmark`, `rank`, `report`, `prices`: from a served model to a figure and what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provisioning.cli.options import Context, shared_options
from provisioning.cli.session import open_hosts

if TYPE_CHECKING:
    from artifacts.measure.protocol import Protocol
    from artifacts.measure.results import Results
    from provisioning.cli.console import Console
    from provisioning.config import BenchmarkConfig
    from provisioning.ranking import Ranking

RESULTS = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option("--accelerator", metavar="TYPE", help="Which hosts to measure, when there are several kinds.")
@click.option(
    "--mode", type=click.Choice(["quick", "standard", "mlperf"]), help="How long.  [default: quick]"
)
@click.option("--slo-ms", type=click.FloatRange(min=0, min_open=True), help="Latency limit in ms.")
@click.option(
    "--percentile", type=click.FloatRange(50, 99.9), help="Percentile the limit is for.  [default: 99]"
)
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Only this rate, in requests/s.")
@click.option("--duration", type=click.FloatRange(min=0, min_open=True), help="Seconds per open-loop point.")
@click.option("--out", type=RESULTS, help="Results file.  [default: build/amazonei/NAME/results/TYPE.json]")
@shared_options
def benchmark(context: Context, *, accelerator: str | None, out: Path | None, **wanted: Any) -> None:
    """Measure what is served: latency under Poisson load, and the highest rate within the limit.

    \b
    Example:
      amazonei benchmark --slo-ms 20 --percentile 99 --mode standard
    """
    from provisioning.benchmarking import measure_served

    measuring = _measuring(context, wanted)
    protocol = _protocol(measuring)
    calls = open_hosts(context)
    chosen = calls.deployment.choose(accelerator)
    with context.console.activity(f"measuring {chosen}"):
        results, path = measure_served(calls, chosen, protocol, out)
    context.console.say(f"results: {path}")
    document = results.to_json() | {"path": str(path)}
    context.console.answer(document, lambda: measured_text(context.console, results))


def _measuring(context: Context, wanted: dict[str, Any]) -> BenchmarkConfig:
    from provisioning.config import parse_benchmark

    given = {key: value for key, value in wanted.items() if value is not None}
    return parse_benchmark({"benchmark": dict(context.document.get("benchmark") or {}) | given})


def _protocol(measuring: BenchmarkConfig) -> Protocol:
    from artifacts.measure.protocol import Protocol

    return Protocol.from_json(measuring.protocol_document())
