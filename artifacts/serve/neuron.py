"""Where Neuron programs run on a host: how many workers fit, and which NeuronCores each has.

One process for each core, or group of cores, takes the place of torch_neuronx.DataParallel: a worker that
dies takes one core's requests with it, and Python's lock is nobody else's.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from artifacts.manifest import Manifest

_RUNTIMES = frozenset({"torch-neuron", "torch-neuronx"})
# https://awsdocs-neuron.readthedocs-hosted.com/en/latest/about-neuron/arch/
# A trn2 chip has 8 physical cores, by default two in one.
_CORES_OF_A_CHIP = {"inf1": 4, "inf2": 2, "trn1": 2, "trn1n": 2, "trn2": 4, "trn2u": 4}
_DEVICE = re.compile(r"neuron\d+")
_PIPELINE = "neuroncore-pipeline-cores"
_APART = "inline-weights-to-neff=false"


def runs_on_neuron(manifest: Manifest) -> bool:
    """Whether the program is for NeuronCores; a CPU stand-in is not."""
    return manifest.toolchain.compiler in _RUNTIMES


def chip_count(devices: Path = Path("/dev")) -> int:
    """Return how many Neuron chips this machine has."""
    return sum(bool(_DEVICE.fullmatch(path.name)) for path in devices.glob("neuron*"))


def cores_of_a_worker(manifest: Manifest) -> int:
    """Return the NeuronCores that one copy of the program takes; 0 for a program of another kind."""
    if not runs_on_neuron(manifest):
        return 0
    said = dict(flag.split("=", 1) for flag in manifest.toolchain.flags)
    return int(said.get(_PIPELINE, "1"))


def fitting_workers(manifest: Manifest, workers: int, chips: int) -> int:
    """Return how many of the workers the chips have cores for, at least 1; without chips, all of them."""
    cores = chips * _CORES_OF_A_CHIP.get(manifest.target.partition(".")[0], 0)
    each = cores_of_a_worker(manifest)
    return max(1, min(workers, cores // each)) if cores and each else workers


def visible_cores(index: int, cores: int) -> str:
    """Return a worker's NEURON_RT_VISIBLE_CORES: one number, or a range."""
    first = index * cores
    return str(first) if cores == 1 else f"{first}-{first + cores - 1}"


def onto_device(program: Any, manifest: Manifest, runtime: Any) -> None:
    """Move the program's weights to the device, where they are not part of what was compiled.

    https://awsdocs-neuron.readthedocs-hosted.com/en/latest/frameworks/torch/torch-neuronx/api-reference-guide/inference/api-torch-neuronx-trace.html
    """
    if _APART in manifest.toolchain.flags:
        runtime.move_trace_to_device(program, 0)  # the first of the cores that this process sees
