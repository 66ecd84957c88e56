"""`ship`, `invoke`: from an artifact to an answer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from artifacts.errors import BadRequest
from provisioning.cli.endpoints import ask_endpoint, ship_to_endpoint
from provisioning.cli.interruption import resumable
from provisioning.cli.keys import public_key_option, required_signer
from provisioning.cli.options import ARTIFACT, Context, shared_options
from provisioning.cli.session import open_hosts
from provisioning.cli.wheels import gather_wheels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from artifacts.serve.scale import Scale
    from artifacts.signature import PublicKey
    from provisioning.shipping import Package

PLACES = click.Choice(["ec2", "sagemaker"])
# Options that say how an artifact is put on hosts.
OF_HOSTS = ("wave", "wheelhouse", "workers", "batch")

# Rolling back twice is going forward.
NOT_AGAIN = "Look at what is served before you roll back again: that takes a host that went back forward."


@click.command(short_help="Ship an artifact to the hosts.")
@click.argument("artifact", type=ARTIFACT, required=False)
@click.option("--accelerator", metavar="TYPE", help="Ship to these hosts.  [default: the artifact's target]")
@click.option("--rollback", is_flag=True, help="Serve the version from before again; takes no ARTIFACT.")
@click.option("--wave", type=click.IntRange(min=1), default=50, show_default=True, help="Hosts at once.")
@click.option(
    "--wheelhouse/--no-wheelhouse",
    default=None,
    help="Send what hosts install to serve, too.  [default: yes on AWS, no when emulated]",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Server processes on a host.  [default: what benchmark --sweep found, or one per vCPU; on Neuron no "
    "more than there are cores for]",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    help="Requests at once.  [default: what benchmark --sweep found, or what the artifact takes]",
)
@click.option("--resend", is_flag=True, help="Send all of it again, whatever the bucket has.")
@click.option("--to", type=PLACES, default="ec2", show_default=True, help="The hosts, or an endpoint.")
@click.option("--dry-run", is_flag=True, help="Show what would be sent and where; send nothing.")
@click.option("--yes", is_flag=True, help="Accept an endpoint's plan and price without the question.")
@public_key_option
@shared_options
def ship(
    context: Context,
    *,
    artifact: Path | None,
    accelerator: str | None,
    rollback: bool,
    dry_run: bool,
    **wanted: Any,
) -> None:
    """Ship ARTIFACT to the deployment's hosts: verified on arrival, switched only when it answers.

    The first failure keeps the waves that have not begun from beginning, and takes back what has switched.
    With a key, this tool and every host refuse what this key has not signed. Hosts have no internet: the
    packages they serve with are gathered here, sent once, and installed beside what serves.

    To a SageMaker endpoint of the file's [[endpoints]] the artifact goes as a model package; what served
    there before goes on until the new version does, and longer if that fails.

    \b
    Examples:
      amazonei ship build/amazonei/digit_classifier-c7i.xlarge-0123456789ab.aei
      amazonei ship build/amazonei/digit_classifier-inf2.xlarge-0123456789ab.aei --to sagemaker
      amazonei ship --rollback
    """
    to_endpoint = wanted["to"] == "sagemaker"
    _refuse_combinations(artifact, rollback=rollback, to_endpoint=to_endpoint)
    signer = required_signer(context, wanted["public_key"])
    if artifact is None:
        _roll_back(context, accelerator, signer, dry_run=dry_run)
        return
    package = _open(artifact, signer, accelerator)
    if to_endpoint:
        ship_to_endpoint(context, package, yes=wanted["yes"], dry_run=dry_run, resend=wanted["resend"])
    else:
        _ship(context, package, wanted, dry_run=dry_run)


def _refuse_combinations(artifact: Path | None, *, rollback: bool, to_endpoint: bool) -> None:
    if rollback == (artifact is not None):
        raise BadRequest(
            "ship takes either an ARTIFACT or --rollback.", "Make an artifact with: amazonei compile MODEL"
        )
    if rollback and to_endpoint:
        raise BadRequest("An endpoint keeps no version from before.", "Ship the artifact from before again.")
    if rollback:
        _refuse((*OF_HOSTS, "resend"), "--rollback", "hosts serve the version from before as it was served")
    if to_endpoint:
        _refuse(OF_HOSTS, "--to sagemaker", "the file's [[endpoints]] say how an endpoint serves")


def _refuse(names: tuple[str, ...], what: str, why: str) -> None:
    """Raise `BadRequest` for options on the command line that would change nothing."""
    context = click.get_current_context()
    given = [
        f"--no-{name}" if context.params[name] is False else f"--{name}"
        for name in names
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise BadRequest(
            f"ship {what} does not take {', '.join(given)}.",
            f"Leave {'it' if len(given) == 1 else 'them'} out: {why}.",
        )


def _open(artifact: Path, signer: PublicKey | None, accelerator: str | None) -> Package:
    from provisioning.shipping import open_package

    package = open_package(artifact, signer)
    if accelerator not in (None, package.accelerator):
        raise BadRequest(
            f"{package.path.name} was compiled for {package.accelerator}, not for {accelerator}.",
            f"Compile it again with --target {accelerator}.",
        )
    return package


def _roll_back(context: Context, accelerator: str | None, signer: PublicKey | None, *, dry_run: bool) -> None:
    from provisioning.shipping import roll_back

    calls = open_hosts(context)
    chosen = calls.deployment.choose(accelerator)
    hosts = [host.instance_id for host in calls.deployment.hosts_of(chosen)]
    document: dict[str, Any] = {"accelerator": chosen}
    if dry_run:
        line = f"Would roll back {len(hosts)} {chosen} host(s) to the version from before."
        context.console.answer(document | {"hosts": hosts}, line)
        return
    what = f"rolling back {chosen}"
    with resumable(context.settings, what, way_on=NOT_AGAIN, on_hosts=True), context.console.activity(what):
        responses = roll_back(calls, chosen, signer=signer)
    text = "\n".join(
        f"{host}: serving {each['digest'][:12]} ({each['lane']}) again" for host, each in responses.items()
    )
    context.console.answer(document | {"hosts": responses}, text)


def _scale(context: Context, package: Package, workers: int | None, batch: int | None) -> Scale:
    """Return how to serve; raise `BadRequest` for more requests at once than the artifact takes.

    What is not asked for is what a sweep found, if there was one; else the host decides.
    """
    from artifacts.serve.scale import Scale, refuse_too_many
    from provisioning.scales import Scales

    refuse_too_many(package.name, package.batch_limit, batch or 0)
    found = Scales(context.settings.work_dir, emulated=context.settings.emulated).of(package)
    if found is None or (workers and batch):
        return Scale(workers=workers or 0, batch=batch or 0)
    scale = Scale(workers=workers or found.workers, batch=batch or found.batch)
    context.console.say(f"{scale.workers} workers, {scale.batch} at once: found by benchmark --sweep")
    return scale


def _ship(context: Context, package: Package, wanted: Mapping[str, Any], *, dry_run: bool) -> None:
    from provisioning.shipping import ship as deliver
    from provisioning.supplying import unsent

    scale = _scale(context, package, wanted["workers"], wanted["batch"])
    wheels = gather_wheels(context, package.accelerator, wanted=wanted["wheelhouse"])
    calls = open_hosts(context)
    calls.deployment.choose(package.accelerator)
    hosts = [host.instance_id for host in calls.deployment.hosts_of(package.accelerator)]
    document: dict[str, Any] = {
        "artifact": package.digest,
        "accelerator": package.accelerator,
        "bytes": package.size,
        "wheelhouse": None if wheels is None else wheels.lock.digest,
    }
    if dry_run:
        packages = 0 if wheels is None else sum(wheel.size for wheel in unsent(calls, wheels))
        document |= {"wheel_bytes": packages}
        more = f" and {packages / 1e6:.1f} MB of wheels" if wheels is not None else ""
        size = f"up to {package.size / 1e6:.1f} MB{more}"
        line = f"Would send {size} to {len(hosts)} {package.accelerator} host(s)."
        context.console.answer(document | {"hosts": hosts}, line)
        return
    what = f"shipping {package.path.name}"
    with resumable(context.settings, what, on_hosts=True), context.console.activity(what):
        responses = deliver(
            calls, package, wave=wanted["wave"], wheels=wheels, scale=scale, resend=wanted["resend"]
        )
    text = "\n".join(f"{host}: serving {package.digest[:12]} ({package.lane})" for host in responses)
    context.console.answer(document | {"hosts": responses}, text)


@click.command(short_help="Send one request to the served model.")
@click.option("--accelerator", metavar="TYPE", help="Which hosts to ask, when there are several kinds.")
@click.option(
    "--input-file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help='JSON request {"inputs": {name: values}}; - reads standard input.',
)
@click.option("--random", "use_random", is_flag=True, help="Send random inputs of the model's own shapes.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of --random.")
@click.option("--to", type=PLACES, help="A host, or an endpoint.  [default: a host where there is one]")
@shared_options
def invoke(
    context: Context,
    *,
    accelerator: str | None,
    input_file: Path | None,
    use_random: bool,
    seed: int,
    to: str | None,
) -> None:
    """Send one request to the served model and print its answer as JSON.

    \b
    Example (the digit the model sees in a held-out image):
      python examples/digits.py request 7 | amazonei invoke --input-file - \\
          | python examples/digits.py answer
    """
    import json

    from provisioning.benchmarking import invoke as send
    from provisioning.benchmarking import read_body
    from provisioning.standing_endpoints import is_endpoint_only

    stdin = sys.stdin.read() if input_file == Path("-") else None
    body = read_body(None if stdin is not None else input_file, seed if use_random else None, stdin)
    calls = open_hosts(context)
    if to == "sagemaker" or (to is None and is_endpoint_only(calls.deployment)):
        answer = ask_endpoint(context, calls, accelerator, body)
    else:
        chosen = calls.deployment.choose(accelerator)
        with context.console.activity("asking the host"):
            answer = send(calls, chosen, body)
    context.console.answer(answer, json.dumps(answer, indent=2))
