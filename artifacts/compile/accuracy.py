"""The accuracy gate: on the user's labelled examples a program may be wrong hardly more often than eager.

The parity gate compares numbers. What users of a classifier care for is the class, and only their own data
tells whether bf16 or int8 changes it.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from artifacts.errors import BadRequest
from artifacts.targets import Compiler

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from artifacts.compile.request import CompileRequest
    from artifacts.compile.subject import Subject
    from artifacts.serve.sampling import Tensors
    from artifacts.specs import TensorSpec
    from artifacts.targets import Target

    Answer = Callable[[Tensors], list[torch.Tensor]]

LABELS = "labels"
_FORM = (
    "Save a .npz or .safetensors file with an array for each input, examples first, and whole numbers "
    f"called {LABELS}, one per example."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """Examples and the class that each is of."""

    examples: tuple[Tensors, ...]
    labels: torch.Tensor  # int64[examples]

    def accuracy(self, answer: Answer) -> float:
        """Return the share of the examples whose label has the greatest value in the first output.

        Raises BadRequest where that is not one row of classes, among them the label.
        """
        return sum(map(self._right, (answer(each) for each in self.examples), self.labels)) / len(self.labels)

    def _right(self, outputs: list[torch.Tensor], label: torch.Tensor) -> bool:
        scores = outputs[0]
        if scores.numel() != scores.shape[-1] or not 0 <= label < scores.numel():
            raise BadRequest(
                f"The first output, of shape {list(scores.shape)}, does not give one value for each class, "
                f"{int(label)} among them.",
                "Labelled data can judge a classifier with a batch of 1.",
            )
        return bool(scores.flatten().argmax() == label)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """How accurate eager is, and how much less so a program may be."""

    labelled: Labelled
    eager: float
    max_drop: float  # of the share that is right

    def judge(self, answer: Answer) -> tuple[float, str]:
        """Return a program's accuracy and, where it is refused, why."""
        found = self.labelled.accuracy(answer)
        if self.eager - found <= self.max_drop + 1e-12:  # 0.92 - 0.91 is more than 0.01 in binary
            return found, ""
        return found, f"right for {found:.2%} of the labelled examples, eager for {self.eager:.2%}"


def gate_of(
    request: CompileRequest, target: Target, subject: Subject, progress: Callable[[str], None]
) -> Gate | None:
    """Return the gate that the request asks for, with eager's accuracy; raises BadRequest."""
    if not request.labels:
        return None
    if not request.stand_in and target.compiler in {Compiler.TORCH_NEURON, Compiler.TORCH_NEURONX}:
        raise BadRequest(
            f"Labelled data cannot judge a program for {target.name}: it runs on the device only.",
            "Leave the labels out; the host compares its answer to the golden request.",
        )
    labelled = read_labelled(Path(request.labels), subject.inputs)
    eager = labelled.accuracy(subject.run)
    progress(f"eager is right for {eager:.2%} of {len(labelled.labels)} labelled examples")
    return Gate(labelled=labelled, eager=eager, max_drop=request.max_accuracy_drop)


def read_labelled(path: Path, specs: Sequence[TensorSpec]) -> Labelled:
    """Read the file of examples; raises BadRequest for one that does not fit the inputs."""
    arrays = _arrays(path)
    wanted = {*(spec.name for spec in specs), LABELS}
    if set(arrays) != wanted:
        raise BadRequest(
            f"{path} has {', '.join(sorted(arrays)) or 'nothing'}; expected {', '.join(sorted(wanted))}.",
            _FORM,
        )
    labels = arrays.pop(LABELS)
    if labels.dim() != 1 or labels.is_floating_point() or labels.numel() == 0:
        raise BadRequest(f"{LABELS} of {path} are {labels.dtype}{list(labels.shape)}.", _FORM)
    columns = {spec.name: _column(arrays[spec.name], spec, labels.numel(), path) for spec in specs}
    examples = tuple({name: column[i] for name, column in columns.items()} for i in range(labels.numel()))
    return Labelled(examples=examples, labels=labels.long())


def _column(array: torch.Tensor, spec: TensorSpec, count: int, path: Path) -> torch.Tensor:
    """Return the examples of one input as count x its shape; a batch of 1 need not be written."""
    from artifacts.serve.sampling import torch_dtype

    shape = (count, *spec.shape)
    written = {shape, (count, *spec.shape[1:])} if spec.shape[:1] == (1,) else {shape}
    if tuple(array.shape) not in written or array.dtype != torch_dtype(spec.dtype):
        raise BadRequest(
            f"{spec.name} of {path} is {array.dtype}{list(array.shape)}; "
            f"expected {count} examples of {spec}.",
            _FORM,
        )
    return array.reshape(shape)


def _arrays(path: Path) -> dict[str, torch.Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        import numpy as np

        with np.load(path, allow_pickle=False) as file:
            return {name: torch.from_numpy(file[name]) for name in file.files}
    except (OSError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise BadRequest(f"The labelled data {path} cannot be read: {error}.", _FORM) from error
    except Exception as error:
        if type(error).__name__ != "SafetensorError":  # derives from Exception alone
            raise
        raise BadRequest(f"The labelled data {path} cannot be read: {error}.", _FORM) from error
