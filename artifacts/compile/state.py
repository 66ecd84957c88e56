"""What a model remembers between calls, which an artifact must not depend on."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from artifacts.compile.foreign import shown

if TYPE_CHECKING:
    from collections.abc import Callable

_OWN = frozenset(vars(torch.nn.Module()))
_DEEPEST = 4


def kept_state(model: torch.nn.Module, run: Callable[[], object]) -> tuple[str, ...]:
    """Return what still changes at the second of two equal calls, as `Class.attribute at file:line`.

    A cache settles at the first call; a counter or a running mean does not.
    """
    run()
    before = _snapshot(model)
    run()
    after = _snapshot(model)
    modules = dict(model.named_modules())
    changed = [key for key in after if before.get(key) != after[key]]
    return tuple(dict.fromkeys(_described(modules[name], attribute) for name, attribute in changed))


def _snapshot(model: torch.nn.Module) -> dict[tuple[str, str], object]:
    values: dict[tuple[str, str], object] = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            held: dict[str, object] = {}
        else:
            held = {key: value for key, value in vars(module).items() if key not in _OWN}
        held |= dict(module.named_buffers(recurse=False))
        values |= {(name, key): _frozen(value, _DEEPEST) for key, value in held.items()}
    return values


def _frozen(value: object, depth: int) -> object:
    """Return something equal for equal values; objects that cannot be compared are equal to themselves."""
    if isinstance(value, torch.Tensor):
        return value.shape, value.detach().clone().cpu().contiguous().view(-1).view(
            torch.uint8
        ).numpy().tobytes()
    if isinstance(value, bool | int | float | str | bytes | None):
        return value
    if depth and isinstance(value, list | tuple):
        return len(value), tuple(_frozen(item, depth - 1) for item in value[:100])
    if depth and isinstance(value, dict):
        return tuple((str(key), _frozen(item, depth - 1)) for key, item in list(value.items())[:100])
    return id(value)


def _described(module: torch.nn.Module, attribute: str) -> str:
    place = _place(type(module), attribute)
    return f"{type(module).__name__}.{attribute}" + (f" at {place}" if place else "")


def _place(kind: type, attribute: str) -> str:
    """Return where the class last writes the attribute, or nothing."""
    try:
        lines, first = inspect.getsourcelines(kind)
        path = Path(inspect.getfile(kind))
    except (OSError, TypeError):
        return ""
    writes = re.compile(rf"self\.{re.escape(attribute)}\b.*(=|append|add|update|\()")
    written = [first + index for index, line in enumerate(lines) if writes.search(line)]
    return shown(path, written[-1]) if written else ""
