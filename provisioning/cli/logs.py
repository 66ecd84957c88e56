"""`logs`: what the servers on the hosts wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from provisioning.cli.options import Context, shared_options
from provisioning.cli.session import open_hosts

if TYPE_CHECKING:
    from collections.abc import Mapping


@click.command(short_help="Show what the servers on the hosts wrote.")
@click.option("--accelerator", metavar="TYPE", help="Which hosts to ask, when there are several kinds.")
@click.option(
    "--lines", type=click.IntRange(1, 2000), default=50, show_default=True, help="Of each server, the last."
)
@shared_options
def logs(context: Context, *, accelerator: str | None, lines: int) -> None:
    """Show the end of each server's log: of the served version, and of one that did not start.

    \b
    Example:
      amazonei logs --lines 200
    """
    from provisioning.hosts import read_logs

    calls = open_hosts(context)
    chosen = calls.deployment.choose(accelerator)
    with context.console.activity("reading the logs"):
        found = read_logs(calls, chosen, lines)
    hosts = {host: {"port": each["port"], "logs": each["logs"]} for host, each in found.items()}
    context.console.answer({"accelerator": chosen, "hosts": hosts}, lambda: _text(hosts))


def _text(hosts: Mapping[str, dict[str, Any]]) -> str:
    parts = []
    for host, each in hosts.items():
        for port, tail in each["logs"].items():
            served = "serving" if str(each["port"]) == port else "not serving"
            parts.append(f"== {host}, port {port} ({served})\n{tail}")
    return "\n".join(parts) or "No server has written anything."
