"""The arguments of an exported program, which it holds as a tree of its example's."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch.utils import _pytree as pytree

from artifacts.compile.holders import Holder


def arguments_of(module: torch.nn.Module) -> dict[str, object]:
    """Return what each parameter of an exported program is; nothing for any other module."""
    spec = getattr(module, "_in_spec", None)
    if not isinstance(module, torch.fx.GraphModule) or not isinstance(spec, pytree.TreeSpec):
        return {}
    positional, keywords = pytree.tree_unflatten(range(spec.num_leaves), spec)
    names = inspect.signature(module.forward).parameters
    values = [*positional, *keywords.values()]
    return dict(zip(names, map(_declared, values), strict=True)) if len(names) == len(values) else {}


def tensors_in(name: str, declared: object) -> Iterator[str]:
    """Yield the paths of the tensors in an argument, in their order."""
    if not isinstance(declared, Holder):
        yield name
        return
    for part, inner in declared.fields.items():
        yield from tensors_in(f"{name}.{part}", inner)


def _declared(value: Any) -> object:
    """Return what an example argument is, in which numbers stand for tensors."""
    if isinstance(value, Mapping):
        keys = list(value)
        return _holder(dict(zip(map(str, keys), value.values(), strict=True)), _of_keys(type(value), keys))
    if isinstance(value, list | tuple):
        fields = getattr(value, "_fields", None) or [str(index) for index in range(len(value))]
        kind: Any = type(value)
        make = (lambda values: kind(*values)) if hasattr(value, "_fields") else kind
        return _holder(dict(zip(fields, value, strict=True)), make)
    return torch.Tensor


def _of_keys(kind: Any, keys: list[Any]) -> Callable[[list[object]], object]:
    return lambda values: kind(zip(keys, values, strict=True))


def _holder(parts: Mapping[str, Any], make: Callable[[list[object]], object]) -> Holder:
    """Return what has exactly these parts: an exported program takes nothing else."""
    return Holder(
        name="argument of the exported program",
        make=lambda values: make([values[name] for name in parts]),
        fields={name: _declared(part) for name, part in parts.items()},
        needed=frozenset(parts),
    )
