"""`forward`: the server of a private host, on a port of this machine."""

from __future__ import annotations

import click

from provisioning.cli.options import Context, shared_options
from provisioning.cli.session import open_hosts


@click.command(short_help="Reach a private host's server from here.")
@click.option("--accelerator", metavar="TYPE", help="Which hosts, when there are several kinds.")
@click.option(
    "--local-port", type=click.IntRange(1, 65535), help="Port of this machine.  [default: the server's own]"
)
@shared_options
def forward(context: Context, *, accelerator: str | None, local_port: int | None) -> int:
    """Forward a port of this machine to a server on a private host, until Ctrl-C.

    It takes AWS's session-manager-plugin. A new version may listen on the other port: forward again then.

    \b
    Example:
      amazonei forward --local-port 9000
    """
    from provisioning.errors import HostFailed
    from provisioning.forwarding import find_server, refuse_port
    from provisioning.forwarding import forward as hold_open

    calls = open_hosts(context)
    chosen = calls.deployment.choose(accelerator)
    with context.console.activity("asking the hosts"):
        forwarding = find_server(calls, chosen, local_port or 0)
    document = {"instance_id": forwarding.instance_id, "port": forwarding.port}
    if context.settings.emulated:
        url = f"http://{forwarding.address}:{forwarding.port}"
        context.console.say("Emulated hosts run on this machine: there is nothing to forward.")
        return context.console.answer(document | {"url": url, "forwarded": False}, url)
    refuse_port(forwarding.local_port)
    context.console.answer(document | {"url": forwarding.url, "forwarded": True}, forwarding.url)
    try:
        code = hold_open(calls.aws, forwarding, context.settings.profile or "")
    except KeyboardInterrupt:
        return 0
    if code:
        raise HostFailed(f"The forwarding ended with exit code {code}.", "The lines above say why.")
    return 0
