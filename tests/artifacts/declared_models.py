"""Scriptable models whose NamedTuples have types that are no text, which TorchScript asks for."""

from typing import NamedTuple

import torch
from torch import Tensor


class Pair(NamedTuple):
    left: Tensor
    right: Tensor


class DecidesByAField(torch.nn.Module):
    def forward(self, pair: Pair) -> Tensor:
        if pair.left.sum() > 0:
            return pair.left - 2 * pair.right
        return pair.right


class DecidesByAnItem(torch.nn.Module):
    def forward(self, items: list[dict[str, Tensor]]) -> Tensor:
        if items[0]["x"].sum() > 0:
            return items[0]["x"] - 2 * items[1]["x"]
        return items[1]["x"]
