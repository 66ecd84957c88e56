"""`amazonei emulator`: start, stop, look at and point other clients to the embedded AWS."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from provisioning.cli.options import Context, shared_options

if TYPE_CHECKING:
    from provisioning.emulator.service import Running


@click.group(short_help="Run the embedded AWS.")
def emulator() -> None:
    """Run the embedded AWS: every command works against it, with --emulate, without an AWS account."""


@emulator.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on.  [default: free]")
@shared_options
def start(context: Context, port: int) -> None:
    """Start the embedded AWS in the background; a second start finds the first."""
    from provisioning.emulator import service

    state_dir = service.default_state_dir()
    already = service.find(state_dir)
    with context.console.activity("starting the embedded AWS"):
        running = service.start(state_dir, port)
    words = "was running already" if already is not None and already.pid == running.pid else "is running"
    text = (
        f"The embedded AWS {words} at {running.endpoint_url} (pid {running.pid}).\n"
        f"Log: {running.log}\n"
        'For other AWS clients: eval "$(amazonei emulator env)"'
    )
    context.console.answer(_document(running), text)


@emulator.command()
@shared_options
def stop(context: Context) -> None:
    """Stop the embedded AWS, its hosts and everything in it."""
    from provisioning.emulator import service

    stopped = service.stop(service.default_state_dir())
    text = "The embedded AWS and its hosts are stopped." if stopped else "The embedded AWS was not running."
    context.console.answer({"stopped": stopped}, text)


@emulator.command(name="status")
@shared_options
def status_command(context: Context) -> None:
    """Say whether the embedded AWS is running, and where."""
    from provisioning.emulator import service

    running = service.find(service.default_state_dir())
    if running is None:
        context.console.answer({"running": False}, "The embedded AWS is not running.")
        return
    text = f"The embedded AWS is running at {running.endpoint_url} (pid {running.pid}).\nLog: {running.log}"
    context.console.answer(_document(running), text)


@emulator.command()
@shared_options
def env(context: Context) -> None:
    """Print shell exports that point `aws`, `cdk` and other clients to the embedded AWS.

    \b
    Example:
      eval "$(amazonei emulator env)" && aws ec2 describe-instances
    """
    from artifacts.errors import BadRequest
    from provisioning.emulator import service

    running = service.find(service.default_state_dir())
    if running is None:
        raise BadRequest("The embedded AWS is not running.", "Start it with: amazonei emulator start")
    variables = service.environment(running)
    lines = (f"export {name}={shlex.quote(value)}" for name, value in variables.items())
    context.console.answer(variables, "\n".join(lines))


def _document(running: Running) -> dict[str, object]:
    return {
        "running": True,
        "endpoint_url": running.endpoint_url,
        "port": running.port,
        "pid": running.pid,
        "log": str(running.log),
    }
