"""How many processes serve a model, and how many requests each takes at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from artifacts.errors import BadRequest
from artifacts.serve.neuron import fitting_workers
from artifacts.specs import batch_axis

if TYPE_CHECKING:
    from artifacts.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Server processes, and requests that one of them gives its model at once; 0 leaves it to the host."""

    workers: int = 0
    batch: int = 0

    def allows(self, other: Scale) -> bool:
        """Whether what is decided in `other` is what was asked for here."""
        return self.workers in (0, other.workers) and self.batch in (0, other.batch)


def batch_limit(manifest: Manifest) -> int:
    """Return how many requests an artifact's largest program takes at once."""
    axis = batch_axis(manifest.inputs)
    return axis.high if axis else 1


def decide(asked: Scale, manifest: Manifest, default_workers: int, chips: int = 0) -> Scale:
    """Return the scale with nothing left open, and no more workers than the Neuron chips have cores for.

    Raises BadRequest for more than the artifact takes at once.
    """
    limit = batch_limit(manifest)
    refuse_too_many(manifest.name, limit, asked.batch)
    decided = Scale(workers=asked.workers or default_workers, batch=asked.batch or limit)
    return fitted(decided, manifest, chips)


def fitted(asked: Scale, manifest: Manifest, chips: int) -> Scale:
    """Return what is asked for, with no more workers than the chips have cores for; open stays open."""
    if not asked.workers:
        return asked
    return replace(asked, workers=fitting_workers(manifest, asked.workers, chips))


def refuse_too_many(name: str, limit: int, batch: int) -> None:
    """Raise BadRequest where a batch is larger than what the artifact takes at once."""
    if batch > limit:
        raise BadRequest(
            f"{name} takes {limit} request{'' if limit == 1 else 's'} at once, not {batch}.",
            "Compile it with a range, such as --input 'x=float32[1..8,4]', or ship it without --batch.",
        )
