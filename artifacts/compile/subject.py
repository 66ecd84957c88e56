"""The model under compilation: a copy in evaluation mode, its inputs bound to the parameters of forward."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from artifacts.compile.foreign import shown, user_code
from artifacts.errors import BadRequest, CompileError
from artifacts.serve.program import flatten
from artifacts.serve.sampling import dtype_name, sample
from artifacts.specs import TensorSpec

if TYPE_CHECKING:
    from artifacts.compile.watching import Decision
    from artifacts.serve.sampling import Tensors


class Flat(torch.nn.Module):
    """The model with tensors in, by position, and a tuple of tensors out."""

    def __init__(self, model: torch.nn.Module, keywords: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.keywords = keywords

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Call the model and flatten its answer."""
        if self.keywords:
            answer = self.model(**dict(zip(self.keywords, inputs, strict=True)))
        else:
            answer = self.model(*inputs)
        return tuple(flatten(answer))


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is compiled, and how it is called."""

    model: torch.nn.Module
    flat: Flat
    inputs: tuple[TensorSpec, ...]  # in the order of forward's parameters
    outputs: tuple[TensorSpec, ...]
    scriptable: str  # empty, or why the model cannot be scripted as it is called
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
    inputs, keywords, scriptable = _bind(model, specs)
    flat = Flat(model, keywords)
    flat.training = False
    with user_code("Running the model eagerly"), torch.no_grad():
        example = sample(inputs, seed=0)
        arguments = tuple(example[spec.name] for spec in inputs)
        answer = model(**dict(zip(keywords, arguments, strict=True))) if keywords else model(*arguments)
        outputs = _describe(answer)
    return Subject(model=model, flat=flat, inputs=inputs, outputs=outputs, scriptable=scriptable)


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


Bound = tuple[tuple[TensorSpec, ...], tuple[str, ...], str]


def _bind(model: torch.nn.Module, specs: tuple[TensorSpec, ...]) -> Bound:
    """Return the specs in calling order, the keywords to call with, and why scripting is impossible."""
    parameters = _parameters(model)
    by_name = {spec.name: spec for spec in specs}
    if parameters is None:
        return specs, (), ""
    if not set(by_name) & set(parameters):
        _refuse_settings(model, tuple(parameters)[: len(specs)])
        return specs, (), ""
    unknown = sorted(set(by_name) - set(parameters))
    if not unknown:
        _refuse_settings(model, by_name)
    missing = [name for name, required in parameters.items() if required and name not in by_name]
    if unknown or missing:
        raise BadRequest(
            f"The model's forward takes {', '.join(parameters)}; "
            + (
                f"it has no {', '.join(unknown)}."
                if unknown
                else f"no SPEC is given for {', '.join(missing)}."
            ),
            "Name each --input after a parameter of forward.",
        )
    ordered = tuple(by_name[name] for name in parameters if name in by_name)
    names = tuple(spec.name for spec in ordered)
    if names == tuple(parameters)[: len(names)]:
        return ordered, names, ""
    return ordered, names, "the inputs are not the first parameters of forward"


def _parameters(model: torch.nn.Module) -> dict[str, bool] | None:
    """Return forward's parameters and whether each is required; None when they have no names."""
    if isinstance(model, torch.jit.ScriptModule):
        arguments = model._c._get_method("forward").schema.arguments[1:]  # noqa: SLF001 - as ScriptMethod does
        return {argument.name: not argument.has_default_value() for argument in arguments}
    parameters = inspect.signature(model.forward).parameters.values()
    if any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters):
        return None
    named = [p for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD]
    return {parameter.name: parameter.default is inspect.Parameter.empty for parameter in named}


def _refuse_settings(model: torch.nn.Module, given: Collection[str]) -> None:
    """Raise CompileError for a required argument of forward that is not declared to be a tensor."""
    if isinstance(model, torch.jit.ScriptModule):
        return
    for parameter in inspect.signature(model.forward).parameters.values():
        required = parameter.default is inspect.Parameter.empty and parameter.name not in given
        named = parameter.kind is not inspect.Parameter.VAR_KEYWORD
        if required and named and "Tensor" not in str(parameter.annotation):
            raise _setting(model, parameter)


def _setting(model: torch.nn.Module, parameter: inspect.Parameter) -> CompileError:
    code = inspect.unwrap(model.forward).__code__
    place = shown(Path(code.co_filename), code.co_firstlineno)
    remedy = f"Fix it in a wrapper module, or give it a default. See {place}."
    if parameter.annotation is inspect.Parameter.empty:
        name = parameter.name
        return CompileError(
            f"forward takes {name}, for which no SPEC is given, and does not say that it is a tensor.",
            f"If it is one, pass --input '{name}=dtype[shape]'. If not: {remedy[0].lower()}{remedy[1:]}",
        )
    declared = getattr(parameter.annotation, "__name__", parameter.annotation)
    return CompileError(
        f"forward takes {parameter.name}: {declared}, and an artifact takes tensors only.", remedy
    )


def _describe(answer: object) -> tuple[TensorSpec, ...]:
    tensors = flatten(answer)
    if not tensors:
        raise CompileError("The model returns no tensors.")
    return tuple(
        TensorSpec(name=name, dtype=dtype_name(tensor.dtype), shape=tuple(tensor.shape))
        for name, tensor in zip(_names(answer, ""), tensors, strict=True)
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


def _sequence(answer: object) -> list[object]:
    return list(answer) if isinstance(answer, list | tuple) else []
