"""The model under compilation: a copy in evaluation mode, called with tensors by position."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, count
from typing import TYPE_CHECKING

import torch

from artifacts.compile.binding import bind
from artifacts.compile.foreign import user_code
from artifacts.errors import BadRequest, CompileError
from artifacts.serve.program import flatten
from artifacts.serve.sampling import dtype_name, sample
from artifacts.specs import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from artifacts.compile.binding import Bound
    from artifacts.compile.calling import Call
    from artifacts.compile.watching import Decision
    from artifacts.serve.sampling import Tensors

_LONGEST = 80  # letters of an output's name


class Flat(torch.nn.Module):
    """The model with tensors in, by position, and a tuple of tensors out."""

    def __init__(self, model: torch.nn.Module, call: Call) -> None:
        super().__init__()
        self.model = model
        self.call = call

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Call the model and flatten its answer."""
        return tuple(flatten(self.call.of(self.model, inputs)))

    def around(self, model: torch.nn.Module) -> Flat:
        """Return another model, which is called in the same way, with the same in and out."""
        flat = Flat(model, self.call)
        flat.training = False
        return flat


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is compiled, and how it is called."""

    model: torch.nn.Module
    flat: Flat
    inputs: tuple[TensorSpec, ...]  # in the order in which programs take them
    outputs: tuple[TensorSpec, ...]
    decisions: tuple[Decision, ...] = ()  # the lines where Python decides by a value of the inputs

    def run(self, inputs: Tensors) -> list[torch.Tensor]:
        """Return the eager answer; the inputs are copied, so a model may write into its own."""
        with torch.no_grad():
            return [tensor.clone() for tensor in self.flat(*self.arguments(inputs))]

    def arguments(self, inputs: Tensors) -> tuple[torch.Tensor, ...]:
        """Return fresh copies of the inputs in calling order."""
        return tuple(inputs[spec.name].clone() for spec in self.inputs)


def prepare_subject(module: torch.nn.Module, specs: tuple[TensorSpec, ...]) -> Subject:
    """Copy the module, switch training off, bind the inputs and learn the outputs from one eager run."""
    if not specs:
        raise BadRequest(
            "The model has no inputs.", "Pass --input SPEC for each, for example float32[1,3,224,224]."
        )
    with user_code("Copying the model"):
        model = _onto_cpu(copy.deepcopy(module))
    _switch_to_evaluation(model)
    bound = bind(model, specs)
    flat = Flat(model, bound.call)
    flat.training = False
    outputs = _outputs(model, bound)
    return Subject(model=model, flat=flat, inputs=bound.inputs, outputs=outputs)


def _outputs(model: torch.nn.Module, bound: Bound) -> tuple[TensorSpec, ...]:
    """Return what the model gives in one run; raises CompileError where it cannot run."""
    example = sample(bound.inputs, seed=0)
    try:
        with user_code("Running the model eagerly"), torch.no_grad():
            return _describe(bound.call.of(model, [example[spec.name] for spec in bound.inputs]))
    except CompileError as error:
        raise CompileError(error.message, " ".join(filter(None, (error.hint, bound.doubt)))) from error


def _switch_to_evaluation(model: torch.nn.Module) -> None:
    try:
        model.eval()
    except NotImplementedError:
        return  # a program from torch.export has its mode built in
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    training = sorted({type(part).__name__ for part in model.modules() if part.training})
    if training:
        raise CompileError(
            f"{', '.join(training)} stays in training mode after eval().",
            "Its train() must accept train(False): dropout and batch statistics are off in an artifact.",
        )


def _onto_cpu(model: torch.nn.Module) -> torch.nn.Module:
    """Move the model, and the tensors that are neither parameters nor buffers, which .cpu() leaves behind."""
    model = model.cpu()
    for part in model.modules():
        if not isinstance(part, torch.jit.ScriptModule):
            for name, value in vars(part).items():
                if isinstance(value, torch.Tensor) and value.device.type != "cpu":
                    setattr(part, name, value.cpu())
    return model


def _describe(answer: object) -> tuple[TensorSpec, ...]:
    tensors = flatten(answer)
    if not tensors:
        raise CompileError("The model returns no tensors.")
    return tuple(
        TensorSpec(name=name, dtype=dtype_name(tensor.dtype), shape=tuple(tensor.shape))
        for name, tensor in zip(_apart(_names(answer, "")), tensors, strict=True)
    )


def _names(answer: object, prefix: str) -> list[str]:
    """Return a name per tensor: dictionary keys, else output0, output1, …; one bare tensor is `output`."""
    if answer is None:
        return []
    if isinstance(answer, torch.Tensor):
        return [prefix or "output"]
    items = answer.items() if isinstance(answer, Mapping) else enumerate(_sequence(answer))
    base = f"{prefix}_" if prefix else ("" if isinstance(answer, Mapping) else "output")
    return [name for key, item in items for name in _names(item, re.sub(r"\W", "_", f"{base}{key}"))]


def _apart(names: Iterable[str]) -> Iterator[str]:
    """Yield the names as a manifest takes them, each once: keys may be numbers, or differ in a sign only."""
    taken: set[str] = set()
    for name in names:
        first = name if re.match("[A-Za-z_]", name) else f"output{name}"
        counted = (f"{first[:_LONGEST]}_{number}" for number in count(2))
        chosen = next(each for each in chain([first[:_LONGEST]], counted) if each not in taken)
        taken.add(chosen)
        yield chosen


def _sequence(answer: object) -> list[object]:
    return list(answer) if isinstance(answer, list | tuple) else []
