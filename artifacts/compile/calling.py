"""How a model is called with tensors by position: which of them are arguments, and which are parts of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    from artifacts.compile.holders import Holder


@dataclass(frozen=True, slots=True)
class Node:
    """Several tensors that an argument holds."""

    holder: Holder
    parts: tuple[tuple[str, Tree], ...]  # by name, in order


Tree = int | Node  # a tensor's position, or what holds several


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The arguments of forward, and the tensors that they are made of."""

    arguments: tuple[Tree, ...]
    keywords: tuple[str, ...] = ()  # empty: the arguments go by position
    direct: bool = True  # the tensors by position are forward's first arguments: nothing has to be made

    def values(self, tensors: Sequence[torch.Tensor]) -> tuple[object, ...]:
        """Return the arguments, made anew, in calling order: a model may change what it gets."""
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
    return tree.holder.made({name: _made(part, tensors) for name, part in tree.parts})
