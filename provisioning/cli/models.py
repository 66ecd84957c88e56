"""`compile`, `inspect`, `verify`, `ship`, `invoke`: from a model to an answer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from artifacts.errors import BadRequest
from provisioning.cli.endpoints import ask_endpoint, ship_to_endpoint
from provisioning.cli.flags import compiler_flags
from provisioning.cli.keys import public_key_option, required_signer, sign_key_option, signing_key
from provisioning.cli.options import Context, shared_options
from provisioning.cli.session import open_hosts
from provisioning.cli.wheels import gather_wheels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from artifacts.compile.request import CompileRequest, CompileResult
    from artifacts.serve.scale import Scale
    from artifacts.signature import PublicKey
    from provisioning.shipping import Package
    from provisioning.wheelhouse import Gathered

ARTIFACT = click.Path(path_type=Path, dir_okay=False)
PLACES = click.Choice(["ec2", "sagemaker"])


@click.command(name="compile", short_help="Compile a model, verify it, pack it.")
@click.argument("model", required=False)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="SPEC",
    help="Input: [name=]dtype[shape][:low..high]; a dimension may be 1..8 or 32|64|128.",
)
@click.option(
    "--pad",
    "pads",
    multiple=True,
    metavar="NAME=VALUE",
    help="Fill an input up with this to the next length.  [default: the model's pad_token_id, else 0]",
)
@click.option("--target", metavar="TYPE", help="Accelerator to compile for.  [default: the first configured]")
@click.option("--method", type=click.Choice(["auto", "script", "trace"]), help="How to make TorchScript.")
@click.option("--atol", type=click.FloatRange(min=0), help="Largest difference from eager.  [default: 0.001]")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for the artifact.")
@click.option("--lanes", type=click.Choice(["quick", "all"]), help="How many ways to try.  [default: all]")
@click.option(
    "--labels",
    type=click.Path(dir_okay=False),
    help="Examples with labels, .npz or .safetensors: a lane must be about as often right as eager.",
)
@click.option(
    "--max-accuracy-drop",
    type=click.FloatRange(min=0, max=1),
    help="By how much less often, as a share.  [default: 0.01]",
)
@click.option("--no-cache", is_flag=True, help="Compile again although nothing changed.")
@click.option("--on", type=click.Choice(["local", "host"]), default="local", help="Where to compile.")
@sign_key_option
@compiler_flags
@shared_options
def compile_command(
    context: Context, *, model: str | None, on: str, sign_key: Path | None, **wanted: Any
) -> None:
    """Compile MODEL, check its answers against eager PyTorch, and pack it as an artifact.

    MODEL is package.module:callable, path/file.py:callable, a Hugging Face folder, or a TorchScript .pt.

    \b
    Examples:
      amazonei compile examples/digits.py:digit_classifier --input 'image=float32[1,1,8,8]:0..1' \\
          --target c7i.xlarge
      amazonei compile ./my-bert --input 'input_ids=int64[1,128]:0..30522' --target inf2.xlarge --on host
      amazonei compile ./my-bert --input 'input_ids=int64[1..4,32|64|128]:0..30522' \\
          --input 'attention_mask=int64[1..4,32|64|128]:0..2' --target c7i.xlarge

    --on host sends the model's files to a host of the deployment and compiles with the SDK that is there.
    """
    from provisioning.compiling import compile_request

    key = signing_key(context, sign_key)
    request = compile_request(context.document, context.settings, model, wanted)
    with context.console.activity(f"compiling {request.model} for {request.target}"):
        result = _compile(context, request, on)
        signer = sign_result(result, key)
    for warning in result.warnings:
        context.console.warn(warning)
    document = result.as_document() | {"signer": signer}
    context.console.answer(document, lambda: _compiled_text(context, result, signer))


def _compile(context: Context, request: CompileRequest, on: str) -> CompileResult:
    if on == "local":
        from provisioning.compiling import compile_model

        return compile_model(request, context.console.detail)
    if request.labels:
        raise BadRequest(
            "Labelled data judges lanes that run here; --on host compiles where they are not.",
            "Leave out --labels, or compile with --on local.",
        )
    from provisioning.remote_compiling import compile_on_host

    return compile_on_host(open_hosts(context), request, gather_wheels(context, request.target))


def sign_result(result: CompileResult, key: EllipticCurvePrivateKey | None) -> str | None:
    """Sign what was compiled, where there is a key; return the signer's fingerprint."""
    if key is None:
        return None
    from provisioning.signing import sign

    return sign(result.artifact, key).fingerprint


def _compiled_text(context: Context, result: CompileResult, signer: str | None) -> str:
    table = context.console.table(*_lanes_table(result))
    parity = result.parity
    return (
        f"{table}\n\nChosen: {result.lane}; largest difference from eager {parity.max_abs_diff:.3g} "
        f"(allowed {parity.atol:g}) over {parity.inputs_checked} inputs it was not made with.\n"
        f"Artifact: {result.artifact}\nDigest: {result.digest}\n{_signed_text(signer)}\n"
        "The lane times are of this machine; `amazonei benchmark` measures the host."
    )


def _lanes_table(result: CompileResult) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return head and rows, with a column for accuracy where labelled data was given."""
    judged = any(lane.accuracy is not None for lane in result.lanes)
    rows = []
    for lane in result.lanes:
        accuracy = ("-" if lane.accuracy is None else f"{lane.accuracy:.2%}",) if judged else ()
        ms = "-" if lane.ms is None else f"{lane.ms:.3f}"
        rows.append((lane.lane, ms, "yes" if lane.passed else "no", *accuracy, lane.reason))
    return (
        "lane",
        "ms",
        "passed" if judged else "same answers",
        *(("right",) if judged else ()),
        "note",
    ), rows


@click.command(short_help="Look inside an artifact.")
@click.argument("artifact", type=ARTIFACT)
@click.argument("other", type=ARTIFACT, required=False)
@click.option("--graph", is_flag=True, help="Print the TorchScript graph.")
@click.option("--code", is_flag=True, help="Print the TorchScript code.")
@click.option("--ops", is_flag=True, help="Count the operators.  [default]")
@shared_options
def inspect(
    context: Context, *, artifact: Path, other: Path | None, graph: bool, code: bool, ops: bool
) -> None:
    """Look inside ARTIFACT: operators, parameters, graph and code; with OTHER, say what differs.

    The archives are verified first.
    """
    from provisioning.compiling import inspect_artifact

    found = inspect_artifact(artifact, context.console.detail, other)
    wanted = {"graph": graph, "code": code, "operators": ops or not (graph or code)}
    document = {key: value for key, value in found.items() if wanted.get(key, True)}
    context.console.answer(document, lambda: _inspect_text(context, document))


def _inspect_text(context: Context, document: dict[str, Any]) -> str:
    parts = [
        f"{key}: {value}" for key, value in document.items() if key not in ("operators", "graph", "code")
    ]
    if "operators" in document:
        rows = [(name, str(count)) for name, count in document["operators"].items()]
        parts.append(context.console.table(("operator", "count"), rows))
    return "\n".join([*parts, *(document[key] for key in ("graph", "code") if key in document)])


def _signed_text(signer: str | None) -> str:
    return "Not signed." if signer is None else f"Signed by key {signer}"


@click.command(short_help="Check an artifact's digests and signature.")
@click.argument("artifact", type=ARTIFACT)
@public_key_option
@shared_options
def verify(context: Context, artifact: Path, public_key: Path | None) -> None:
    """Check ARTIFACT's structure, sizes, digests and signature without loading anything of it.

    With a key, an artifact that this key has not signed is refused. Without one, a signature is shown as what
    it claims to be: nobody has checked it.

    \b
    Example:
      amazonei verify build/amazonei/digit_classifier-c7i.xlarge-0123456789ab.aei --key signing.pub
    """
    from artifacts.archive import digest_file
    from provisioning.shipping import open_package

    package = open_package(artifact, required_signer(context, public_key))
    checked = package.signer is not None
    signer = package.claimed_signer
    document = {
        "artifact": str(artifact),
        "verified": True,
        "digest": package.digest,
        "name": package.name,
        "target": package.accelerator,
        "lane": package.lane,
        "bytes": package.size,
        "sha256": digest_file(artifact, artifact.name).sha256,
        "signature": None if signer is None else {"signer": signer, "checked": checked},
    }
    note = "" if signer is None or checked else " (as it says; check it with --key)"
    text = (
        f"{artifact} is whole: {package.name} for {package.accelerator}, lane {package.lane}.\n"
        f"Digest: {package.digest}\n{_signed_text(signer)}{note}"
    )
    context.console.answer(document, text)


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
    "--workers", type=click.IntRange(min=1), help="Server processes on a host.  [default: one per vCPU]"
)
@click.option(
    "--batch", type=click.IntRange(min=1), help="Requests at once.  [default: what the artifact takes]"
)
@click.option("--resend", is_flag=True, help="Send every piece again, whatever the bucket has.")
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
    from artifacts.errors import BadRequest

    if rollback == (artifact is not None):
        raise BadRequest(
            "ship takes either an ARTIFACT or --rollback.", "Make an artifact with: amazonei compile MODEL"
        )
    signer = required_signer(context, wanted["public_key"])
    if rollback and wanted["to"] == "sagemaker":
        raise BadRequest("An endpoint keeps no version from before.", "Ship the artifact from before again.")
    if artifact is None:
        _roll_back(context, accelerator, signer, dry_run=dry_run)
        return
    from provisioning.shipping import open_package

    package = open_package(artifact, signer)
    if accelerator not in (None, package.accelerator):
        raise BadRequest(
            f"{package.path.name} was compiled for {package.accelerator}, not for {accelerator}.",
            f"Compile it again with --target {accelerator}.",
        )
    if wanted["to"] == "sagemaker":
        ship_to_endpoint(context, package, yes=wanted["yes"], dry_run=dry_run)
        return
    scale = _scale(package, wanted["workers"], wanted["batch"])
    wheels = gather_wheels(context, package.accelerator, wanted=wanted["wheelhouse"])
    how = {"wave": wanted["wave"], "scale": scale, "resend": wanted["resend"]}
    _ship(context, package, wheels, how, dry_run=dry_run)


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
    with context.console.activity(f"rolling back {chosen}"):
        responses = roll_back(calls, chosen, signer=signer)
    text = "\n".join(
        f"{host}: serving {each['digest'][:12]} ({each['lane']}) again" for host, each in responses.items()
    )
    context.console.answer(document | {"hosts": responses}, text)


def _scale(package: Package, workers: int | None, batch: int | None) -> Scale:
    """Return how to serve; raise `BadRequest` for more requests at once than the artifact takes."""
    from artifacts.serve.scale import Scale, refuse_too_many

    refuse_too_many(package.name, package.batch_limit, batch or 0)
    return Scale(workers=workers or 0, batch=batch or 0)


def _ship(
    context: Context, package: Package, wheels: Gathered | None, how: Mapping[str, Any], *, dry_run: bool
) -> None:
    from provisioning.shipping import ship as deliver
    from provisioning.supplying import unsent

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
    with context.console.activity(f"shipping {package.path.name}"):
        responses = deliver(calls, package, wheels=wheels, **how)
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
    from provisioning.endpoints import is_endpoint_only

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
