"""The catalogue of targets: what each accelerator is, how it is reached, and whether it can still be had.

The rows are data (`targets.toml`), read when first asked for. On Python 3.10, which only hosts have,
reading them needs `tomli`; importing this module needs nothing.
"""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from artifacts.errors import BadRequest, TargetRetired

if TYPE_CHECKING:
    from collections.abc import Mapping

CATALOGUE_FILE = Path(__file__).with_name("targets.toml")


class Family(str, Enum):  # noqa: UP042 - hosts run Python 3.10
    """A line of accelerators that share a compiler and an image."""

    ELASTIC_INFERENCE = "elastic-inference"
    INFERENTIA1 = "inf1"
    INFERENTIA2 = "inf2"
    TRAINIUM1 = "trn1"
    TRAINIUM2 = "trn2"
    GPU = "gpu"
    CPU = "cpu"


class Compiler(str, Enum):  # noqa: UP042 - hosts run Python 3.10
    """The compiler that makes an artifact for a target."""

    TORCHSCRIPT = "torchscript"
    TORCH_EIA = "torch-eia"
    TORCH_NEURON = "torch-neuron"
    TORCH_NEURONX = "torch-neuronx"
    CUDA = "torch-cuda"


class LifecycleState(str, Enum):  # noqa: UP042 - hosts run Python 3.10
    """Whether AWS still offers a target and its software."""

    AVAILABLE = "available"
    ENDING = "ending"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """Where a target stands, since when (ISO date), and the notice that says so."""

    state: LifecycleState
    since: str | None
    notice: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One row of the catalogue; memory is in GiB, and an EI row has no host of its own."""

    name: str
    family: Family
    compiler: Compiler
    instance_type: str | None  # the EC2 type, or None for an EI accelerator
    architecture: str  # "x86_64" or "arm64", as EC2 spells them
    chips: int
    cores: int
    vcpus: int
    memory_gib: float
    device_memory_gib: float
    lifecycle: Lifecycle
    successors: tuple[str, ...]  # best first
    successor_reasons: tuple[str, ...]
    successors_basis: str
    image_parameter: str  # public SSM parameter that holds the AMI id
    interpreter: str  # the Python on that AMI with the family's PyTorch
    sources: tuple[str, ...]
    note: str

    @property
    def retired(self) -> bool:
        """Whether AWS no longer offers it."""
        return self.lifecycle.state is LifecycleState.RETIRED


@dataclass(frozen=True, slots=True, kw_only=True)
class Successor:
    """A target to move to, and why."""

    target: Target
    reason: str


@cache
def catalogue() -> Mapping[str, Target]:
    """Return every target by name, in the order of the data file."""
    document = _read(CATALOGUE_FILE)
    families: dict[str, dict[str, Any]] = document["families"]
    rows = ({**families[row["family"]], **row} for row in document["targets"])
    return MappingProxyType({row["name"]: _target(row, document["sources"]) for row in rows})


def find(name: str) -> Target:
    """Return the target of this name; an unknown one raises BadRequest with the nearest names."""
    targets = catalogue()
    if name in targets:
        return targets[name]
    # SageMaker spells the same accelerators with a prefix.
    nearest = difflib.get_close_matches(name.lower().removeprefix("ml."), targets, n=3, cutoff=0.6)
    meant = f" Did you mean {_alternatives(nearest)}?" if nearest else ""
    raise BadRequest(f"There is no target {name!r}.{meant}", "`amazonei targets` lists them.")


def successors(target: Target) -> tuple[Successor, ...]:
    """Return the targets to move to, best first, each with its reason."""
    pairs = zip(target.successors, target.successor_reasons, strict=True)
    return tuple(Successor(target=find(name), reason=reason) for name, reason in pairs)


def refuse_retired(target: Target) -> None:
    """Raise TargetRetired, with date, source and successors, when AWS no longer offers the target."""
    if not target.retired:
        return
    lifecycle = target.lifecycle
    ranked = "; ".join(
        f"{rank}. {successor.target.name} ({successor.reason})"
        for rank, successor in enumerate(successors(target), start=1)
    )
    raise TargetRetired(
        f"{target.name} is retired since {lifecycle.since}: {lifecycle.notice} Source: {lifecycle.url}",
        f"Move to {ranked}. {target.successors_basis} "
        "To look at the old setup without AWS, add --emulate --allow-retired.",
    )


def _read(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):  # noqa: UP036 - hosts run Python 3.10
        import tomllib
    else:
        import tomli as tomllib
    with path.open("rb") as stream:
        return tomllib.load(stream)


def _target(row: Mapping[str, Any], sources: Mapping[str, str]) -> Target:
    family = Family(row["family"])
    moves = row.get("successors", [])
    lifecycle = row["lifecycle"]
    return Target(
        name=row["name"],
        family=family,
        compiler=Compiler(row["compiler"]),
        instance_type=None if family is Family.ELASTIC_INFERENCE else row["name"],
        architecture=row["architecture"],
        chips=row["chips"],
        cores=row["cores"],
        vcpus=row["vcpus"],
        memory_gib=float(row["memory_gib"]),
        device_memory_gib=float(row["device_memory_gib"]),
        lifecycle=Lifecycle(
            state=LifecycleState(lifecycle["state"]),
            since=lifecycle.get("since"),
            notice=lifecycle["notice"],
            url=sources[lifecycle["url"]],
        ),
        successors=tuple(move["name"] for move in moves),
        successor_reasons=tuple(move["reason"] for move in moves),
        successors_basis=row.get("successors_basis", ""),
        image_parameter=row["image_parameter"],
        interpreter=row["interpreter"],
        sources=tuple(sources[name] for name in row["sources"]),
        note=row["note"],
    )


def _alternatives(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
