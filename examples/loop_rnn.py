"""A recurrent network written as a Python loop, with a branch and a print, as one writes it first.

amazonei compile examples/loop_rnn.py:loop_rnn --input 'x=float32[5,1,4]' --target c7i.xlarge
"""

from __future__ import annotations

import torch
from torch import nn


class Cell(nn.Module):
    """One step; what it does depends on what it sees."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        """Return the next state of [batch, width] input and state."""
        mixed = self.linear(x) + h
        if mixed.sum() > 0:
            return torch.tanh(mixed)
        return torch.tanh(-mixed) * 0.5


class LoopRnn(nn.Module):
    """Steps through a sequence until a state is saturated."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.cell = Cell(width)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map a [steps, batch, width] sequence to its states and the last of them."""
        state = torch.zeros_like(x[0])
        states: list[torch.Tensor] = []
        for step in range(x.size(0)):
            state = self.cell(x[step], state)
            states.append(state)
            if bool(state.abs().max() > 0.999):
                print("saturated at step", step)
                state = torch.zeros_like(state)
        return torch.stack(states), state


def loop_rnn() -> nn.Module:
    """Return the network with random weights that are the same at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return LoopRnn()
