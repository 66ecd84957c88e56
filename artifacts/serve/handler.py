"""Open an unpacked artifact and answer requests with it, without knowing any server."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from artifacts.archive import MANIFEST_NAME
from artifacts.errors import BadRequest, ServeFailed
from artifacts.manifest import Manifest
from artifacts.serve import opening
from artifacts.serve.fitting import (
    Stack,
    bucket_key,
    buckets,
    fits,
    sizes_of,
    stacked,
)
from artifacts.serve.layouts import Layouts
from artifacts.serve.neuron import onto_device, runs_on_neuron
from artifacts.serve.processor import processor_features, refuse_unfit
from artifacts.serve.program import CUDA, CUDA_GRAPH, ELASTIC_INFERENCE, flatten
from artifacts.serve.sampling import dtype_name, sample, torch_dtype
from artifacts.serve.torch_eia import attach, installed_torcheia
from artifacts.specs import axes_of, batch_axis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from types import ModuleType

    from artifacts.serve.sampling import Tensors
    from artifacts.specs import TensorSpec

_RUNTIMES = {"torch-neuron": "torch_neuron", "torch-neuronx": "torch_neuronx"}


@dataclass(frozen=True, slots=True)
class Handler:
    """A loaded model."""

    manifest: Manifest
    _programs: Mapping[str, Callable[..., Any]]  # by the bucket they were compiled for
    layouts: Layouts = field(default_factory=Layouts)  # of raw requests that this model accepted
    # What every request asks of the manifest.
    _inputs: tuple[str, ...] = field(init=False)
    _outputs: tuple[str, ...] = field(init=False)
    _one_size: bool = field(init=False)

    def __post_init__(self) -> None:
        """Look at the manifest once: a small model answers in less time than looking takes."""
        inputs, outputs = self.manifest.inputs, self.manifest.outputs
        object.__setattr__(self, "_inputs", tuple(spec.name for spec in inputs))
        object.__setattr__(self, "_outputs", tuple(spec.name for spec in outputs))
        object.__setattr__(self, "_one_size", not axes_of(inputs))

    @property
    def batch_limit(self) -> int:
        """How many requests one `predict_batch` takes to its program at once; 1: they are not stacked."""
        batch = batch_axis(self.manifest.inputs)
        return batch.high if batch else 1

    @property
    def leaves_processor(self) -> bool:
        """Whether the program runs on another chip, and leaves this process's CPU free meanwhile."""
        return runs_on_neuron(self.manifest) or self.manifest.preparation in {CUDA, CUDA_GRAPH}

    def check(self, inputs: Tensors) -> None:
        """Raise BadRequest unless names, dtypes and shapes are the manifest's."""
        expected = [spec.name for spec in self.manifest.inputs]
        if sorted(inputs) != sorted(expected):
            raise BadRequest(
                f"The request has inputs {', '.join(sorted(inputs)) or 'none'}; expected {self._expected()}."
            )
        for spec in self.manifest.inputs:
            tensor = inputs[spec.name]
            if not fits(tuple(tensor.shape), spec) or dtype_name(tensor.dtype) != spec.dtype:
                got = f"{dtype_name(tensor.dtype)}[{','.join(map(str, tensor.shape))}]"
                raise BadRequest(f"Input {spec.name} is {got}; expected {spec}.")
        sizes_of(self.manifest.inputs, inputs)

    def _expected(self) -> str:
        return ", ".join(map(str, self.manifest.inputs))

    def predict_batch(self, requests: list[Tensors]) -> list[Tensors]:
        """Answer each request, several rows by one run where the batch may vary.

        Requests are filled up to the next size that a program was compiled for, and answers are cut back.
        """
        if self._one_size:
            return [self._answer(request) for request in requests]
        stacks = stacked(self.manifest.inputs, requests)
        return [answer for stack in stacks for answer in self._answers(stack)]

    def _answer(self, request: Tensors) -> Tensors:
        """Answer a request of the one size that there is."""
        answer = _run(self._programs[""], [request[name] for name in self._inputs])
        return dict(zip(self._outputs, answer, strict=True))

    def _answers(self, stack: Stack) -> Iterator[Tensors]:
        program = self._programs[bucket_key(self.manifest.inputs, stack.bucket)]
        answer = _run(program, [stack.inputs[name] for name in self._inputs])
        return stack.answers(self.manifest.outputs, answer)

    def warm_up(self, runs: int) -> None:
        """Run every program this often on random requests: the first runs are slow."""
        for bucket in buckets(self.manifest.inputs):
            request = sample(tuple(spec.at(bucket) for spec in self.manifest.inputs), seed=0)
            for _ in range(runs):
                self.predict_batch([request])

    def read_json(self, document: object) -> Tensors:
        """Return the tensors of {"inputs": {name: nested lists}}; raises BadRequest."""
        inputs = document.get("inputs") if isinstance(document, dict) else None
        if not isinstance(inputs, dict):
            raise BadRequest(
                'A request is {"inputs": {name: nested lists}}; ' + f"expected inputs: {self._expected()}."
            )
        specs = {spec.name: spec for spec in self.manifest.inputs}
        if sorted(inputs) != sorted(specs):
            raise BadRequest(
                f"The request has inputs {', '.join(sorted(inputs)) or 'none'}; expected {self._expected()}."
            )
        return {name: _tensor(values, specs[name]) for name, values in inputs.items()}


def _run(program: Callable[..., Any], inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return a program's outputs, in order, computed in inference mode."""
    if torch.is_inference_mode_enabled():  # a server's worker is in it for good
        return flatten(program(*inputs))
    with torch.inference_mode():
        return flatten(program(*inputs))


def _tensor(values: Any, spec: TensorSpec) -> torch.Tensor:
    try:
        tensor = torch.tensor(values)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise BadRequest(f"Input {spec.name} is not a regular array: {error}; expected {spec}.") from error
    wanted = torch_dtype(spec.dtype)
    if tensor.is_floating_point() and not wanted.is_floating_point:
        raise BadRequest(f"Input {spec.name} has fractions; expected {spec}.")
    if not wanted.is_floating_point and wanted is not torch.bool and tensor.numel():
        limits = torch.iinfo(wanted)
        if tensor.min() < limits.min or tensor.max() > limits.max:
            raise BadRequest(f"Input {spec.name} has values outside {spec.dtype}; expected {spec}.")
    return tensor.to(wanted)


def as_json(outputs: Tensors) -> dict[str, Any]:
    """Return {"outputs": {name: nested lists}}."""
    return {"outputs": {name: tensor.tolist() for name, tensor in outputs.items()}}


def load(directory: Path, threads: int) -> Handler:
    """Open an unpacked version with this many intra-op threads."""
    torch.set_num_threads(threads)
    manifest = Manifest.from_json((directory / MANIFEST_NAME).read_bytes())
    runtime = _import_runtime(manifest)
    refuse_unfit(manifest, processor_features(), str(torch.__version__))
    return Handler(manifest, open_programs(directory, manifest, runtime))


def open_programs(directory: Path, manifest: Manifest, runtime: Any) -> dict[str, Callable[..., Any]]:
    """Open the programs of an unpacked version, by bucket."""
    files = {file.path: directory / file.path for file in manifest.files}
    opened = opening.open_programs(files, manifest.inputs, manifest.program, manifest.preparation)
    return {key: _on_device(program, manifest, runtime) for key, program in opened.items()}


def _on_device(program: Callable[..., Any], manifest: Manifest, runtime: Any) -> Callable[..., Any]:
    if manifest.program == ELASTIC_INFERENCE:
        return attach(program, torch, installed_torcheia())
    onto_device(program, manifest, runtime)
    return program


def _import_runtime(manifest: Manifest) -> ModuleType | None:
    """Import the library that registers a Neuron program's operators with torch."""
    runtime = _RUNTIMES.get(manifest.toolchain.compiler)
    if runtime is None:
        return None
    try:
        return importlib.import_module(runtime)
    except ImportError as error:
        raise ServeFailed(
            f"This host's Python has no {runtime}, which runs {manifest.lane} programs.",
            "Use the interpreter of the Neuron image; `amazonei targets show` names it.",
        ) from error


def parse_json(data: bytes | bytearray) -> object:
    """Read a JSON body; raises BadRequest."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The body is not JSON: {error}.") from error
