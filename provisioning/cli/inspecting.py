"""`inspect`: what an artifact computes, and how two differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from artifacts.errors import BadRequest
from provisioning.cli.options import ARTIFACT, Context, shared_options

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


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

    The archives are verified first. Of programs for several sizes, the one for the largest is shown.

    \b
    Examples:
      amazonei inspect build/amazonei/digit_classifier-c7i.xlarge-0123456789ab.aei --code
      amazonei inspect yesterday.aei today.aei
    """
    from provisioning.compiling import inspect_artifact

    if other is not None and (graph or code):
        raise BadRequest(
            "--graph and --code are of one artifact.", "Leave them out to see what differs between two."
        )
    found = inspect_artifact(artifact, context.console.detail, other)
    if other is not None:
        context.console.answer(found, lambda: _difference_text(context, found))
        return
    if (graph or code) and not found["graph"]:
        raise BadRequest(
            f"{artifact.name} holds machine code ({found['program']}), which has neither graph nor code.",
            "Compile the model with --lanes quick to see its TorchScript.",
        )
    wanted = {"graph": graph, "code": code, "operators": ops or not (graph or code)}
    document = {key: value for key, value in found.items() if wanted.get(key, True)}
    context.console.answer(document, lambda: _text(context, document))


def _text(context: Context, document: Mapping[str, Any]) -> str:
    parts = [*_facts(document)]
    if document.get("operators"):
        rows = [(name, str(count)) for name, count in document["operators"].items()]
        parts.append(context.console.table(("operator", "count"), rows))
    return "\n".join([*parts, *(document[key] for key in ("graph", "code") if key in document)])


def _facts(document: Mapping[str, Any]) -> list[str]:
    from artifacts.specs import TensorSpec

    stand_in = ", a stand-in" if document["stand_in"] else ""
    made = document["toolchain"]
    python = " ".join([f"Python {made['python']}", *made.get("flags", [])])
    size = document["parameter_bytes"] / 1e6
    several = f" in {document['programs']} sizes" if document["programs"] > 1 else ""
    lines = [
        f"{document['name']} for {document['target']}, lane {document['lane']}{stand_in}",
        f"Digest: {document['digest']}",
        *(f"Input: {TensorSpec.from_document(spec)}" for spec in document["inputs"]),
        *(f"Output: {TensorSpec.from_document(spec)}" for spec in document["outputs"]),
        f"Program: {document['program']}{several}, prepared by {document['preparation']}",
        f"Made with: {made['compiler']} {made['compiler_version']}, torch {made['torch']}, {python}",
        f"Parameters: {document['parameters']:,}, {size:,.2f} MB ({', '.join(document['dtypes'])})",
        f"Control flow: {document['control_flow']} branches and loops kept",
        *(f"  {line}" for line in document["control_flow_erased"]),
        f"Constants folded: {document['constants_folded']}",
        f"Fused: {_counted(document['fused'])}",
    ]
    if document["requires"]:
        lines.append(f"Needs of the processor: {', '.join(document['requires'])}")
    if document["devices"]:
        lines.append(f"Bound to: {', '.join(document['devices'])}")
    return lines


def _counted(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} ({count})" for kind, count in kinds.items()) or "nothing"


def _difference_text(context: Context, found: Mapping[str, Any]) -> str:
    """Return a row for each thing that differs."""
    rows = [(name, *map(_shown, pair)) for name, pair in found["changed"].items()]
    rows += [(name, *map(str, pair)) for name, pair in found["operators"].items()]
    code = "The code is the same." if found["same_code"] else "The code differs."
    if not rows:
        return f"Nothing differs. {code}" if found["same_code"] else code
    return f"{context.console.table(('what', 'first', 'second'), rows)}\n{code}"


def _shown(value: object) -> str:
    """Return a value of an inspection as a person reads it."""
    from artifacts.specs import TensorSpec

    if isinstance(value, dict):
        if set(value) >= {"dtype", "shape"}:
            return str(TensorSpec.from_document(value))
        return ", ".join(f"{key} {_shown(each)}" for key, each in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    return str(value)
