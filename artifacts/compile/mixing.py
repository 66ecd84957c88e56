"""Script the sub-modules that decide by values, and trace the rest around them."""

from __future__ import annotations

import copy
import dataclasses
import warnings
from typing import TYPE_CHECKING, Any

import torch

from artifacts.compile.foreign import user_code
from artifacts.compile.recording import record
from artifacts.compile.torchscript import Program, as_called, trace
from artifacts.errors import CompileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from artifacts.compile.subject import Subject
    from artifacts.compile.torchscript import Warned
    from artifacts.serve.sampling import Tensors

Calls = dict[str, tuple[Any, ...]]  # what each sub-module was called with, by its name


def mix(subject: Subject, erased: Sequence[Warned], example: Tensors) -> Program:
    """Return a trace in which the modules whose forward holds the erased lines are scripted.

    Raises CompileError when one of them can be scripted neither whole nor with its parts traced.
    """
    names = _outermost_last(erased)
    model = copy.deepcopy(subject.model)
    calls = _recorded(subject, model, example)
    for name in names:
        scripted = _scripted(model, name, calls)
        if not name:
            return Program(as_called(subject, scripted))
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, scripted)
    return trace(dataclasses.replace(subject, model=model, flat=subject.flat.around(model)), example)


def can_mix(subject: Subject, erased: Sequence[Warned], *, scripted: bool) -> bool:
    """Return whether a mix is something else than the script of the whole model."""
    if any(warning.place.module for warning in erased):
        return True
    return bool(erased) and not scripted and any(True for _ in subject.model.children())


def _outermost_last(erased: Iterable[Warned]) -> list[str]:
    names = {warning.place.module for warning in erased}
    return sorted(names, key=lambda name: (-name.count("."), not name, name))


def _recorded(subject: Subject, model: torch.nn.Module, example: Tensors) -> Calls:
    """Run the copy once and return the positional arguments of each sub-module's first call."""
    calls: Calls = {}

    def note(name: str) -> Any:
        def hook(_: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if args and not kwargs and all(isinstance(argument, torch.Tensor) for argument in args):
                calls.setdefault(name, tuple(argument.clone() for argument in args))

        return hook

    handles = [
        module.register_forward_pre_hook(note(name), with_kwargs=True)
        for name, module in model.named_modules()
    ]
    with torch.no_grad():
        subject.flat.around(model)(*subject.arguments(example))
    for handle in handles:
        handle.remove()
    return calls


def _scripted(model: torch.nn.Module, name: str, calls: Calls) -> torch.jit.ScriptModule:
    """Script a sub-module; where that fails, with those of its parts traced that were called with tensors."""
    module = model.get_submodule(name)
    try:
        return _script(module)
    except CompileError:
        prefix = f"{name}." if name else ""
        for own, child in module.named_children():
            if not isinstance(child, torch.jit.ScriptModule) and f"{prefix}{own}" in calls:
                setattr(module, own, record(child, calls[f"{prefix}{own}"]))
        return _script(module)


def _script(module: torch.nn.Module) -> torch.jit.ScriptModule:
    with user_code("Scripting"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(module)
    if not isinstance(scripted, torch.jit.ScriptModule):
        raise CompileError(f"TorchScript made a {type(scripted).__name__}.")
    return scripted
