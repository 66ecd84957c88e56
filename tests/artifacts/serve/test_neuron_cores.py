from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from artifacts.errors import ArtifactRefused
from artifacts.manifest import Manifest, Toolchain
from artifacts.serve.handler import Handler
from artifacts.serve.neuron import (
    chip_count,
    cores_of_a_worker,
    fitting_workers,
    onto_device,
    visible_cores,
)
from tests.artifacts.manifests import manifest_of

if TYPE_CHECKING:
    from pathlib import Path


def manifest(target: str, compiler: str, *flags: str) -> Manifest:
    toolchain = Toolchain(torch="2.9.0", python="3.11", compiler=compiler, compiler_version="1", flags=flags)
    return manifest_of(target=target, lane=compiler, toolchain=toolchain)


@pytest.mark.parametrize(
    ("target", "chips", "asked", "workers"),
    [
        ("inf2.xlarge", 1, 4, 2),  # four vCPUs, two NeuronCores
        ("inf2.xlarge", 1, 1, 1),
        ("inf1.xlarge", 1, 4, 4),
        ("inf1.6xlarge", 4, 24, 16),
        ("trn2.48xlarge", 16, 192, 64),
        ("inf2.xlarge", 0, 4, 4),  # no device: what is wrong is told by who tries to load
    ],
)
def test_there_are_no_more_workers_than_cores(target: str, chips: int, asked: int, workers: int) -> None:
    assert fitting_workers(manifest(target, "torch-neuronx"), asked, chips) == workers


def test_a_pipeline_takes_its_cores_from_the_workers() -> None:
    four = manifest("inf1.6xlarge", "torch-neuron", "neuroncore-pipeline-cores=4")
    assert cores_of_a_worker(four) == 4
    assert fitting_workers(four, 24, 4) == 4
    assert fitting_workers(manifest("inf1.xlarge", "torch-neuron", "neuroncore-pipeline-cores=16"), 4, 1) == 1
    assert [visible_cores(index, 4) for index in range(2)] == ["0-3", "4-7"]


def test_a_program_for_the_cpu_takes_no_cores() -> None:
    assert cores_of_a_worker(manifest("inf2.xlarge", "torchscript")) == 0
    assert fitting_workers(manifest("c7i.xlarge", "torchscript"), 4, 1) == 4


def test_chips_are_counted_by_their_devices(tmp_path: Path) -> None:
    for name in ("neuron0", "neuron1", "neuron10", "neuron_rt", "null"):
        (tmp_path / name).touch()
    assert chip_count(tmp_path) == 3


def test_weights_that_are_apart_are_moved_to_the_device() -> None:
    moved: list[tuple[Any, int]] = []
    runtime = SimpleNamespace(move_trace_to_device=lambda program, core: moved.append((program, core)))
    onto_device("p", manifest("inf2.xlarge", "torch-neuronx"), runtime)
    assert moved == []
    onto_device("p", manifest("inf2.xlarge", "torch-neuronx", "inline-weights-to-neff=false"), runtime)
    assert moved == [("p", 0)]


def test_what_was_said_to_the_compiler_is_part_of_the_identity() -> None:
    plain = manifest("inf2.xlarge", "torch-neuronx")
    said = manifest("inf2.xlarge", "torch-neuronx", "auto-cast=all")
    assert plain.digest != said.digest
    assert Manifest.from_json(said.canonical()) == said
    assert b"flags" not in plain.canonical()
    bad = dataclasses.replace(said, toolchain=dataclasses.replace(said.toolchain, flags=("x; rm",)))
    with pytest.raises(ArtifactRefused, match="name=value"):
        Manifest.from_json(bad.canonical())


def test_only_a_program_on_another_chip_leaves_the_processor_free() -> None:
    def leaves(of: Manifest) -> bool:
        return Handler(of, {}).leaves_processor

    on_cpu = manifest("inf2.xlarge", "torch.jit")  # what emulated hosts run in a Neuron program's place
    assert leaves(manifest("inf1.xlarge", "torch-neuron"))
    assert leaves(manifest("inf2.xlarge", "torch-neuronx"))
    assert leaves(dataclasses.replace(on_cpu, target="g5.xlarge", preparation="cuda"))
    assert leaves(dataclasses.replace(on_cpu, target="g5.xlarge", preparation="cuda-graph"))
    assert not leaves(on_cpu)
