"""The ways to make a program for the CPU or GPU, plainest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from artifacts.compile import aotinductor, cuda
from artifacts.compile.layout import precision, reshaped, takes_images
from artifacts.compile.parity import EXAMPLE_SEED
from artifacts.compile.quantization import calibrated, has_convolution, has_linear, quantized
from artifacts.compile.recording import record
from artifacts.compile.torchscript import freeze, save
from artifacts.serve.program import (
    AOTINDUCTOR,
    NO_PREPARATION,
    ONEDNN_GRAPH,
    OPTIMIZE_FOR_INFERENCE,
    TORCHSCRIPT,
)
from artifacts.serve.sampling import sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from artifacts.compile.accuracy import Gate
    from artifacts.compile.subject import Subject

_SECONDS = 180.0
_CALIBRATED_ON = 64  # examples: ranges hardly grow after some dozens
_COMPILER_SECONDS = 900.0  # g++ over a large model's kernels


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One way to make a program."""

    name: str
    make: Callable[[Path], tuple[str, ...]]  # writes the program, returns the instruction sets it needs
    program: str = TORCHSCRIPT
    preparation: str = NO_PREPARATION
    erased: tuple[str, ...] = ()  # control flow that the recording did not keep
    timeout_s: float = _SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The program that the lanes of one method share."""

    name: str
    module: torch.jit.ScriptModule
    erased: tuple[str, ...] = ()


def plain(program: Recorded) -> Recipe:
    """Return the recipe of TorchScript as it was recorded."""
    return Recipe(name=program.name, make=lambda path: _saved(program.module, path), erased=program.erased)


def frozen(program: Recorded, *, native: bool) -> list[Recipe]:
    """Return the recipes that fold the program's weights; `native`: the host is of this architecture."""

    def make(path: Path) -> tuple[str, ...]:
        return _saved(freeze(program.module), path)

    name = program.name
    preparations = {f"{name}+freeze": NO_PREPARATION}
    if native:
        preparations[f"{name}+freeze+optimize"] = OPTIMIZE_FOR_INFERENCE
        if _onednn():
            preparations[f"{name}+freeze+onednn"] = ONEDNN_GRAPH
    return [
        Recipe(name=lane, make=make, preparation=preparation, erased=program.erased)
        for lane, preparation in preparations.items()
    ]


def _onednn() -> bool:
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def recorded_again(program: Recorded, subject: Subject, gate: Gate | None = None) -> list[Recipe]:
    """Return the recipes that record the model another time: in channels_last, in bf16, in int8.

    int8 for convolutions needs examples to see the ranges of activations on: those of the gate.
    """
    name = program.name
    lanes: dict[str, tuple[Callable[[Path], tuple[str, ...]], str]] = {}
    onednn = _onednn()
    for channels_last in (False, True) if takes_images(subject) else (False,):
        base = f"{name}+channels_last" if channels_last else name
        if channels_last:
            remade = _Recording(subject, channels_last=True, bf16=False)
            lanes[f"{base}+freeze+optimize"] = (remade, OPTIMIZE_FOR_INFERENCE)
            lanes |= {f"{base}+freeze+onednn": (remade, ONEDNN_GRAPH)} if onednn else {}
        half = _Recording(subject, channels_last=channels_last, bf16=True)
        lanes[f"{base}+freeze+bf16"] = (half, NO_PREPARATION)
        lanes |= {f"{base}+freeze+onednn+bf16": (half, ONEDNN_GRAPH)} if onednn else {}
    if has_linear(subject.model):
        lanes[f"{name}+int8"] = (
            lambda path: _saved(_traced(quantized(subject.flat), subject), path),
            NO_PREPARATION,
        )
    if gate is not None and has_convolution(subject.model):
        seen = gate.labelled.examples[:_CALIBRATED_ON]
        lanes[f"{name}+static-int8"] = (
            lambda path: _saved(_traced(calibrated(subject, seen), subject), path),
            NO_PREPARATION,
        )
    return [
        Recipe(name=lane, make=make, preparation=preparation, erased=program.erased)
        for lane, (make, preparation) in lanes.items()
    ]


@dataclass(frozen=True, slots=True)
class _Recording:
    """Trace the model in another layout or type."""

    subject: Subject
    channels_last: bool
    bf16: bool

    def __call__(self, path: Path) -> tuple[str, ...]:
        model = reshaped(self.subject, channels_last=self.channels_last)
        with precision(bf16=self.bf16):
            module = _traced(model, self.subject)
        return _saved(freeze(module), path)


def _traced(model: torch.nn.Module, subject: Subject) -> torch.jit.ScriptModule:
    return record(model, subject.arguments(sample(subject.inputs, EXAMPLE_SEED)))


def _saved(module: torch.jit.ScriptModule, path: Path) -> tuple[str, ...]:
    save(module, path)
    return ()


def compiled(subject: Subject) -> list[Recipe]:
    """Return the recipes of AOTInductor; export refuses control flow that depends on data."""

    def recipe(name: str, *, bf16: bool) -> Recipe:
        def make(path: Path) -> tuple[str, ...]:
            example = subject.arguments(sample(subject.inputs, EXAMPLE_SEED))
            with precision(bf16=bf16):
                return aotinductor.compile_package(reshaped(subject), example, path)

        return Recipe(name=name, make=make, program=AOTINDUCTOR, timeout_s=_COMPILER_SECONDS)

    return [recipe("aotinductor", bf16=False), recipe("aotinductor+bf16", bf16=True)]


def on_gpu(program: Recorded, subject: Subject) -> list[Recipe]:
    """Return the recipes for a GPU."""
    example = subject.arguments(sample(subject.inputs, EXAMPLE_SEED))
    return [
        Recipe(
            name=lane.name,
            make=lambda path, lane=lane: _saved(cuda.recorded(lane, subject, example), path),  # type: ignore[misc]
            preparation=lane.preparation,
            erased=program.erased,
        )
        for lane in cuda.LANES
    ]
