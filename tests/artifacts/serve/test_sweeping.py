from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from artifacts.errors import ServeFailed
from artifacts.serve import sweeping
from artifacts.serve.current import Current, read_current, switch_current
from artifacts.serve.requests import BenchmarkRequest, StatusRequest
from artifacts.serve.scale import Scale
from artifacts.serve.sweeping import Trial, best, sweep_served, try_scales

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from artifacts.compile.request import CompileResult
    from artifacts.measure.measurement import Measurement
    from tests.artifacts.serve.conftest import Machine


def measured(rps: float) -> Measurement:
    peak = SimpleNamespace(rps=rps) if rps else None
    return SimpleNamespace(peak=peak, reason="p99 within 20 ms" if rps else "no rate met the limit")  # type: ignore[return-value]


def tried(workers: int, batch: int, rps: float) -> Trial:
    return Trial(scale=Scale(workers=workers, batch=batch), measurement=measured(rps))


def test_batches_are_tried_first_and_then_workers_with_the_best_of_them() -> None:
    asked: list[tuple[int, int]] = []

    def attempt(scale: Scale) -> Trial:
        asked.append((scale.workers, scale.batch))
        return tried(scale.workers, scale.batch, {8: 90, 4: 100, 2: 70, 1: 50}[scale.batch] * scale.workers)

    trials = try_scales(attempt, Scale(workers=4, batch=8), Scale(workers=6, batch=8))
    assert asked == [(4, 8), (4, 4), (4, 2), (4, 1), (1, 4), (3, 4), (6, 4)]
    found = best(trials)
    assert found is not None
    assert found.scale == Scale(workers=6, batch=4)


def test_of_rates_that_are_alike_the_one_that_takes_less_is_best() -> None:
    found = best([tried(4, 8, 101.0), tried(2, 4, 99.0), tried(2, 8, 100.0), tried(1, 1, 90.0)])
    assert found is not None
    assert found.scale == Scale(workers=2, batch=4)
    assert best([tried(1, 1, 0.0), Trial(scale=Scale(workers=2, batch=1), problem="no memory")]) is None


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A host of two cores that serves one worker, three at once, and cannot start two workers."""

    def serve(host: Any, _manifest: object, scale: Scale, *_: object) -> None:
        if scale.workers == 2:
            raise ServeFailed("The server ended before it was ready.")
        current = read_current(host.settings.home)
        assert current is not None
        switch_current(
            host.settings.home, dataclasses.replace(current, workers=scale.workers, batch=scale.batch)
        )

    monkeypatch.setattr(sweeping, "serve_version", serve)
    monkeypatch.setattr(sweeping, "verify_version", lambda *_: None)
    monkeypatch.setattr(sweeping, "most_of", lambda _: Scale(workers=2, batch=4))
    switch_current(tmp_path, Current(digest="a" * 64, port=8080, address="127.0.0.1", workers=1, batch=3))
    return SimpleNamespace(settings=SimpleNamespace(home=tmp_path), progress=lambda _: None)


def served(host: SimpleNamespace) -> Scale:
    current = read_current(host.settings.home)
    assert current is not None
    return current.scale


def test_the_best_scale_is_served_and_one_that_does_not_start_is_told_and_left_out(
    host: SimpleNamespace,
) -> None:
    trials = sweep_served(host, "r", lambda: measured({4: 10, 2: 30, 1: 20}[served(host).batch]))  # type: ignore[arg-type]
    assert [trial.as_document() for trial in trials] == [
        {"workers": 1, "batch": 4, "rps": 10, "reason": "p99 within 20 ms"},
        {"workers": 1, "batch": 2, "rps": 30, "reason": "p99 within 20 ms"},
        {"workers": 1, "batch": 1, "rps": 20, "reason": "p99 within 20 ms"},
        {"workers": 2, "batch": 2, "rps": 0.0, "reason": "The server ended before it was ready."},
    ]
    assert served(host) == Scale(workers=1, batch=2)


def test_where_nothing_keeps_the_limit_the_host_serves_as_it_did(host: SimpleNamespace) -> None:
    trials = sweep_served(host, "r", lambda: measured(0.0))  # type: ignore[arg-type]
    assert best(trials) is None
    assert served(host) == Scale(workers=1, batch=3)


def test_a_sweep_that_is_broken_off_leaves_the_host_as_it_was(host: SimpleNamespace) -> None:
    def interrupt() -> Measurement:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep_served(host, "r", interrupt)  # type: ignore[arg-type]
    assert served(host) == Scale(workers=1, batch=3)


@pytest.mark.nightly
def test_a_host_sweeps_its_real_server_and_serves_on(
    new_machine: Callable[..., Machine], two_layers: CompileResult
) -> None:
    machine = new_machine()
    machine.install(two_layers.artifact, two_layers.digest)
    protocol = {"mode": "quick", "rate": 20.0, "duration_s": 0.5, "max_concurrency": 2}
    response = machine.send(BenchmarkRequest(id="sweep", protocol=protocol, sweep=True))
    assert response.code == 0, response.steps
    sweep = response.document["sweep"]
    assert sweep[0]["workers"] == 1
    assert {trial["batch"] for trial in sweep} == {1}
    serving = machine.send(StatusRequest(id="status")).document["serving"]
    assert serving["healthy"]
    chosen = response.document["served"]
    assert (serving["workers"], serving["batch"]) == (chosen["workers"], chosen["batch"])
