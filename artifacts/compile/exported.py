"""The arguments of an exported program, which it holds as a tree of its example's."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.utils import _pytree as pytree

from artifacts.compile.holders import Form, Holder


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
    """Return what an example argument is, in which numbers stand for tensors; it has these parts alone."""
    if isinstance(value, Mapping):
        keys = int if any(isinstance(key, int) for key in value) else str
        return _holder(
            Form.DICTIONARY, type(value), dict(zip(map(str, value), value.values(), strict=True)), keys
        )
    if hasattr(value, "_asdict"):
        return _holder(Form.RECORD, type(value), value._asdict())
    if not isinstance(value, list | tuple):
        return torch.Tensor
    form = Form.LIST if isinstance(value, list) else Form.TUPLE
    return _holder(form, type(value), {str(index): part for index, part in enumerate(value)})


def _holder(form: Form, kind: type, parts: Mapping[str, Any], keys: type = str) -> Holder:
    fields = {name: _declared(part) for name, part in parts.items()}
    return Holder(form=form, kind=kind, fields=fields, needed=frozenset(parts), keys=keys)
