"""Small models with one property each, loaded by the tests as `path/to/sample_models.py:callable`."""

from __future__ import annotations

import torch
from torch import nn


class TwoLayers(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.first = nn.Linear(4, 8)
            self.second = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.second(torch.relu(self.first(x)))
        return answer


def two_layers() -> nn.Module:
    return TwoLayers()


def two_layers_retrained() -> nn.Module:
    return TwoLayers(seed=1)


an_instance = TwoLayers()


class Branch(nn.Module):
    """A trace keeps whichever side its example took."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:
            return x * 2
        return x - 1


class BranchOverPython(nn.Module):
    """A branch that a trace erases, in Python that scripting cannot take."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scales = iter((2.0, -3.0))
        first = next(scales)
        return x * first if bool(x.sum() > 0) else x * next(scales)


class Loop(nn.Module):
    """The number of rounds comes from the data."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rounds = int(x.abs().sum().item()) + 1
        for _ in range(rounds):
            x = torch.tanh(x) + 0.5
        return x


class DropoutLeftOn(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(x, 0.5)


class Counter(nn.Module):
    """Remembers how often it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x + self.calls


class WritesIntoItsInput(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x += 1
        return x * 2


class DictionaryOut(nn.Module):
    def forward(self, left: torch.Tensor, right: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"total": left + right, "difference": left - right}


class ReturnsText(nn.Module):
    def forward(self, x: torch.Tensor) -> str:
        return f"{x.sum()}"


class Broken(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise ValueError("this model never worked")


class Convolution(nn.Module):
    """Batch norm and dropout: differs between training and evaluation."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.layers = nn.Sequential(
                nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(8, 4, 3)
            )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.layers(image)
        return answer


not_a_model = 3


def returns_no_module() -> str:
    return "nothing"


class OneDropped(nn.Module):
    """Draws a single bit, which comes out alike in half of the runs."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(x.sum().reshape(1), 0.5)


class DrawsInVain(nn.Module):
    """Draws numbers that its answer does not depend on."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 + torch.rand_like(x) * 0
