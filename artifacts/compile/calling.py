"""How a model is called with tensors by position: which of them are arguments, and which are parts of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch


@dataclass(frozen=True, slots=True)
class Node:
    """A tuple, list, dictionary or record, made anew for every call: a model may change its own."""

    make: Callable[[dict[str, object]], object]
    parts: tuple[tuple[str, Tree], ...]  # by name, in order


Tree = int | Node  # a tensor's position, or what holds several


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The arguments of forward, and the tensors that they are made of."""

    arguments: tuple[Tree, ...]
    keywords: tuple[str, ...] = ()  # empty: the arguments go by position
    direct: bool = True  # the tensors by position are forward's first arguments: nothing has to be made

    def values(self, tensors: Sequence[torch.Tensor]) -> tuple[object, ...]:
        """Return the arguments made of these tensors, in calling order."""
        return tuple(_made(tree, tensors) for tree in self.arguments)

    def of(self, model: Callable[..., object], tensors: Sequence[torch.Tensor]) -> object:
        """Return the model's answer to these tensors."""
        values = self.values(tensors)
        if self.keywords:
            return model(**dict(zip(self.keywords, values, strict=True)))
        return model(*values)


def _made(tree: Tree, tensors: Sequence[torch.Tensor]) -> object:
    if isinstance(tree, int):
        return tensors[tree]
    return tree.make({name: _made(part, tensors) for name, part in tree.parts})
