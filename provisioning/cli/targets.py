"""`amazonei targets`: the catalogue of accelerators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from provisioning.cli.options import Context, shared_options

if TYPE_CHECKING:
    from artifacts.targets import Successor, Target


@click.group(invoke_without_command=True, short_help="The catalogue of accelerators.")
@click.pass_context
@shared_options
def targets(context: Context, click_context: click.Context) -> None:
    """List the accelerators: what they are, what they cost, and whether they can still be had."""
    if click_context.invoked_subcommand is None:
        _list(context)
        return
    # `targets --output json show T`: what was said to the group holds for its command.
    said = {name: value for name, value in click_context.params.items() if value}
    click_context.default_map = {click_context.invoked_subcommand: said}


def _list(context: Context) -> None:
    from artifacts.targets import catalogue

    rows = list(catalogue().values())
    headings = ("target", "family", "cores", "device GiB", "vCPU", "$/h", "state")

    def text() -> str:
        region = context.settings.region or "us-east-1"
        table = context.console.table(headings, [_row(target, region) for target in rows])
        return f"{table}\n\n$/h: Linux on-demand in {region}; `amazonei prices` says where it is from."

    context.console.answer({"targets": [_summary(target) for target in rows]}, text)


def _row(target: Target, region: str) -> tuple[str, ...]:
    state: str = target.lifecycle.state.value
    since = f" since {target.lifecycle.since}" if target.lifecycle.since and state != "available" else ""
    return (
        target.name,
        target.family.value,
        str(target.cores or "-"),
        f"{target.device_memory_gib:g}" if target.device_memory_gib else "-",
        str(target.vcpus or "-"),
        _hourly(target.name, region),
        f"{state}{since}",
    )


def _hourly(name: str, region: str) -> str:
    from provisioning.pricing import PriceMissing, PriceTable

    try:
        return f"{PriceTable.load().hourly(name, region).hourly:.4f}"
    except PriceMissing:
        return "?"


@targets.command()
@click.argument("target")
@shared_options
def show(context: Context, target: str) -> None:
    """Show one TARGET with its lifecycle, image and sources.

    \b
    Example:
      amazonei targets show inf1.xlarge
    """
    from artifacts.targets import find

    found = find(target)
    document = _summary(found) | {
        "image_parameter": found.image_parameter,
        "interpreter": found.interpreter,
        "note": found.note,
        "sources": list(found.sources),
    }
    lines = [f"{key.replace('_', ' ')}: {_plain(value)}" for key, value in document.items() if value]
    context.console.answer(document, "\n".join(lines))


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key} {item}" for key, item in value.items() if item)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


@targets.command()
@click.argument("target")
@shared_options
def successors(context: Context, target: str) -> None:
    """Rank what to move to from a TARGET that is retired or ending.

    \b
    Example:
      amazonei targets successors eia2.medium
    """
    from artifacts.targets import find
    from artifacts.targets import successors as successors_of

    found = find(target)
    ranked = successors_of(found)
    document = {
        "target": found.name,
        "lifecycle": _lifecycle(found),
        "successors": [_successor(place, successor) for place, successor in enumerate(ranked, start=1)],
        "basis": found.successors_basis,
    }
    context.console.answer(document, lambda: _successors_text(found, ranked))


def _successor(place: int, successor: Successor) -> dict[str, Any]:
    return {"rank": place, "target": successor.target.name, "reason": successor.reason}


def _successors_text(target: Target, ranked: tuple[Successor, ...]) -> str:
    if not ranked:
        return f"{target.name} is {target.lifecycle.state.value}; it needs no successor."
    lines = [f"{target.name}: {target.lifecycle.notice} ({target.lifecycle.url})"]
    lines += [f"{place}. {one.target.name}: {one.reason}" for place, one in enumerate(ranked, start=1)]
    return "\n".join([*lines, target.successors_basis])


def _lifecycle(target: Target) -> dict[str, str | None]:
    lifecycle = target.lifecycle
    return {
        "state": lifecycle.state.value,
        "since": lifecycle.since,
        "notice": lifecycle.notice,
        "url": lifecycle.url,
    }


def _summary(target: Target) -> dict[str, Any]:
    return {
        "name": target.name,
        "family": target.family.value,
        "compiler": target.compiler.value,
        "instance_type": target.instance_type,
        "architecture": target.architecture,
        "chips": target.chips,
        "cores": target.cores,
        "vcpus": target.vcpus,
        "memory_gib": target.memory_gib,
        "device_memory_gib": target.device_memory_gib,
        "lifecycle": _lifecycle(target),
        "successors": list(target.successors),
    }
