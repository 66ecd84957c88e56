"""An installation: how many workers it starts, and what is left where it is broken off."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from artifacts.manifest import Toolchain
from artifacts.serve.installation import install
from artifacts.serve.scale import Scale
from tests.artifacts.serve.staged import Theatre

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    NewTheatre = Callable[..., Theatre]

PIPELINE = "neuroncore-pipeline-cores=8"


@pytest.fixture
def new_theatre(tmp_path: Path) -> Iterator[NewTheatre]:
    made: list[Theatre] = []

    def make(**options: object) -> Theatre:
        made.append(Theatre(root=tmp_path / str(len(made)), **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for theatre in made:
        for port in theatre.stage.ports:
            theatre.stage.stop(port)


def for_neuron(compiler: str, *flags: str) -> dict[str, Toolchain]:
    toolchain = Toolchain(torch="2.9.0", python="3.11", compiler=compiler, compiler_version="1", flags=flags)
    return {"toolchain": toolchain}


@pytest.mark.parametrize(
    ("accelerator", "chips", "asked", "workers"),
    [
        ("inf2.xlarge", 1, 0, 2),  # two NeuronCores, eight vCPUs
        ("inf2.xlarge", 1, 8, 2),
        ("inf2.xlarge", 1, 1, 1),
        ("inf1.6xlarge", 4, 0, 2),  # a pipeline of eight cores
        ("inf2.xlarge", 0, 0, 8),  # no device: what is wrong is told by who tries to load
    ],
)
def test_a_host_starts_no_more_workers_than_it_has_neuron_cores_for(
    new_theatre: NewTheatre,
    monkeypatch: pytest.MonkeyPatch,
    accelerator: str,
    chips: int,
    asked: int,
    workers: int,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    theatre = new_theatre(accelerator=accelerator, chips=chips)
    first = accelerator.startswith("inf1")
    toolchain = for_neuron("torch-neuron", PIPELINE) if first else for_neuron("torch-neuronx")
    request = theatre.asked(manifest=toolchain, scale=Scale(workers=asked))
    answer = install(theatre.host, request)
    assert (answer["workers"], answer["changed"]) == (workers, True)
    assert [spec.workers for spec in theatre.stage.started] == [workers]
    limited = f"{workers} workers, not {asked}: there are NeuronCores for no more"
    assert (limited in theatre.told) is (asked > workers)
    assert install(theatre.host, request)["changed"] is False, "what was limited is what was asked for"


def test_an_emulated_host_has_no_chips_of_the_machine_it_runs_on(new_theatre: NewTheatre) -> None:
    theatre = new_theatre(accelerator="inf2.xlarge", chips=1, emulated=True)
    request = theatre.asked(manifest=for_neuron("torch-neuronx"), scale=Scale(workers=3))
    assert install(theatre.host, request)["workers"] == 3
