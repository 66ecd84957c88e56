"""A script around a script: tensors in by position, and arguments made of them in TorchScript.

A trace around it would not do: it keeps the script's branches, but records lists of anything but tensors as
constants, and NamedTuples as plain tuples.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch

from artifacts.compile.foreign import user_code
from artifacts.compile.holders import Form
from artifacts.errors import CompileError

if TYPE_CHECKING:
    from artifacts.compile.calling import Call, Tree

    Classes = dict[str, Any]  # of NamedTuples and dataclasses, by their names in the source


def adapted(module: torch.jit.ScriptModule, call: Call, count: int) -> torch.jit.ScriptModule:
    """Return a script that makes the arguments of another of so many tensors."""
    classes: Classes = {}
    given = [_written(tree, classes) for tree in call.arguments]
    if call.keywords:
        given = [f"{name}={value}" for name, value in zip(call.keywords, given, strict=True)]
    parameters = ", ".join(f"{_name(index)}: Tensor" for index in range(count))
    source = f"def forward(self, {parameters}):\n    return self.model({', '.join(given)})\n"
    with user_code("Scripting the call"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        around = torch.jit.script(_holding(module))
        # As ScriptModule.define() does, which looks for the classes among the variables of its caller.
        around._c._define(around._concrete_type, source, classes.get)  # noqa: SLF001
    if not isinstance(around, torch.jit.ScriptModule):
        raise CompileError(f"TorchScript made a {type(around).__name__}.")
    return around


def _holding(module: torch.jit.ScriptModule) -> torch.nn.Module:
    """Return a module around another, for which no call is written yet."""

    class Around(torch.nn.Module):
        """A class for each call: TorchScript shares what it compiled among modules of one class."""

        def __init__(self) -> None:
            super().__init__()
            self.model = module
            self.training = False

    return Around()


def _name(index: int) -> str:
    return f"tensor_{index}"


def _written(tree: Tree, classes: Classes) -> str:
    """Return an argument as TorchScript writes it, and note the classes that it names."""
    if isinstance(tree, int):
        return _name(tree)
    holder = tree.holder
    parts = {name: _written(part, classes) for name, part in tree.parts}
    if holder.form is Form.LIST:
        return f"[{', '.join(parts.values())}]"
    if holder.form is Form.TUPLE:
        return f"({''.join(f'{part}, ' for part in parts.values())})"
    if holder.form is Form.DICTIONARY:
        return f"{{{', '.join(f'{holder.key(name)!r}: {part}' for name, part in parts.items())}}}"
    name = f"Class{len(classes)}"
    classes[name] = holder.kind
    return f"{name}({', '.join(f'{field}={part}' for field, part in parts.items())})"
