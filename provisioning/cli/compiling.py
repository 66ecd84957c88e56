"""`compile` and `verify`: from a model to an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from artifacts.errors import BadRequest
from provisioning.cli.caching import cache_bucket_option, shared_cache
from provisioning.cli.flags import compiler_flags
from provisioning.cli.keys import public_key_option, required_signer, sign_key_option, signing_key
from provisioning.cli.options import ARTIFACT, Context, shared_options
from provisioning.cli.session import open_hosts
from provisioning.cli.wheels import gather_wheels

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from artifacts.compile.request import CompileRequest, CompileResult
    from provisioning.errors import Interrupted


@click.command(name="compile", short_help="Compile a model, verify it, pack it.")
@click.argument("model", required=False)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="SPEC",
    help="Input: [name=]dtype[shape][:low..high]; a dimension may be 1..8 or 32|64|128, a name a path into a "
    "dictionary or tuple, batch.mask or pair.0.",
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
@cache_bucket_option
@click.option("--on", type=click.Choice(["local", "host"]), default="local", help="Where to compile.")
@sign_key_option
@compiler_flags
@shared_options
def compile_command(
    context: Context,
    *,
    model: str | None,
    on: str,
    sign_key: Path | None,
    cache_bucket: str | None,
    **wanted: Any,
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
    try:
        with context.console.activity(f"compiling {request.model} for {request.target}"):
            result = _compile(context, request, on, cache_bucket)
            signer = sign_result(result, key)
    except KeyboardInterrupt:
        raise _interrupted(on) from None
    for warning in result.warnings:
        context.console.warn(warning)
    document = result.as_document() | {"signer": signer}
    context.console.answer(document, lambda: _compiled_text(context, result, signer))


def _interrupted(on: str) -> Interrupted:
    from provisioning.errors import Interrupted

    if on == "local":
        return Interrupted("Interrupted while compiling.", "Run the same command again.")
    return Interrupted(
        "Interrupted; the host goes on with what it was asked for.",
        "Run the same command again, or `amazonei teardown` to remove the host.",
    )


def _compile(context: Context, request: CompileRequest, on: str, cache_bucket: str | None) -> CompileResult:
    if on == "local":
        from provisioning.compiling import compile_model

        shared = shared_cache(context, cache_bucket) if request.cache else None
        return compile_model(request, context.console.detail, shared=shared)
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
        "The lane times are of this machine, or of one like it that shares its cache; "
        "`amazonei benchmark` measures the host."
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
