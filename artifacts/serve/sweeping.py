"""Find how many workers, and how many requests at once, serve a model fastest on this host, by measuring it.

First the batch, with the workers that serve now: the largest the program takes, then half of it, and so on.
Then the workers, with the best of those: one, two, four, up to what the host has cores for. Every pair would
take the product of both instead of the sum, and the best batch hardly depends on how many processes use it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from artifacts.errors import ServeFailed
from artifacts.serve.current import require_current
from artifacts.serve.neuron import chip_count, fitting_workers
from artifacts.serve.scale import Scale, batch_limit
from artifacts.serve.settings import available_cpus
from artifacts.serve.switching import serve_version
from artifacts.serve.versions import verify_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from artifacts.manifest import Manifest
    from artifacts.measure.measurement import Measurement
    from artifacts.serve.installation import Host

ALIKE = 1.03  # rates this close are one rate: the scale that takes less of the host is better


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One scale, and what was measured at it; `problem` says why nothing was."""

    scale: Scale
    measurement: Measurement | None = None
    problem: str = ""

    @property
    def rps(self) -> float:
        """The rate it sustains within the limit, requests/s; 0 where no rate does."""
        peak = self.measurement.peak if self.measurement else None
        return peak.rps if peak else 0.0

    def as_document(self) -> dict[str, Any]:
        """Return the trial in a line: the scale, the rate, and why there is none."""
        reason = self.measurement.reason if self.measurement else self.problem
        return {"workers": self.scale.workers, "batch": self.scale.batch, "rps": self.rps, "reason": reason}


def try_scales(attempt: Callable[[Scale], Trial], start: Scale, most: Scale) -> list[Trial]:
    """Return the trials of batches, then of workers, none of them twice."""
    trials = [attempt(replace(start, batch=batch)) for batch in _halves(most.batch)]
    batch = (best(trials) or trials[0]).scale.batch
    done = {trial.scale for trial in trials}
    others = [Scale(workers=workers, batch=batch) for workers in reversed(list(_halves(most.workers)))]
    return trials + [attempt(scale) for scale in others if scale not in done]


def best(trials: list[Trial]) -> Trial | None:
    """Return the fastest; of those alike the one with the fewest workers, then the smallest batch."""
    top = max(trial.rps for trial in trials)
    alike = [trial for trial in trials if trial.rps and trial.rps * ALIKE >= top]
    return min(alike, key=lambda trial: (trial.scale.workers, trial.scale.batch), default=None)


def _halves(most: int) -> Iterator[int]:
    while most:
        yield most
        most //= 2


def sweep_served(host: Host, request_id: str, measure: Callable[[], Measurement]) -> list[Trial]:
    """Measure the served version at several scales and leave it at the best one, or as it was.

    Each scale is started, proven and switched to as an installation is, so requests are answered meanwhile.
    """
    was = require_current(host.settings.home)
    manifest = verify_version(host.settings, was.digest)

    def attempt(scale: Scale) -> Trial:
        host.progress(f"trying {scale.workers} workers, {scale.batch} at once")
        try:
            _serve_at(host, manifest, scale, request_id)
            return Trial(scale=scale, measurement=measure())
        except ServeFailed as error:
            return Trial(scale=scale, problem=error.message)

    chosen = was.scale
    try:
        trials = try_scales(attempt, was.scale, most_of(manifest))
        found = best(trials)
        chosen = found.scale if found else was.scale
    finally:
        _serve_at(host, manifest, chosen, request_id)
    return trials


def most_of(manifest: Manifest) -> Scale:
    """Return the most workers that this host has cores for, and the most requests a program takes at once."""
    workers = fitting_workers(manifest, available_cpus(), chip_count())
    return Scale(workers=workers, batch=batch_limit(manifest))


def _serve_at(host: Host, manifest: Manifest, scale: Scale, request_id: str) -> None:
    current = require_current(host.settings.home)
    if current.scale != scale:
        serve_version(host, manifest, scale, request_id, current.python)
