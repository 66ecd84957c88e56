"""Models that a careless compiler gets wrong, loaded as `path/to/adversarial_models.py:callable`."""

from __future__ import annotations

import torch
from torch import nn

_CALLS = [0]


def _linear(seed: int, width: int = 4) -> nn.Linear:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Linear(width, width)


class RareBranch(nn.Module):
    """No usual input is above 50."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if bool(x.max() > 50):
            return x * 0.0 + 7.0
        return x + 1


class RareBranchOverPython(nn.Module):
    """The same, in Python that scripting cannot take."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scales = iter((2.0, -3.0))
        if bool(x.max() > 50):
            return x * next(scales)
        return x + 1


class UnreachableBranch(nn.Module):
    """No input that we know of takes this side, which does not mean that none will."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scales = iter((2.0, -3.0))
        if float(x[0, 0]) == 0.123456789:
            return x * next(scales)
        return x + 1


class ChecksItsInput(nn.Module):
    """Raises at NaN: an artifact answers where the model would refuse, and is right everywhere else."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.isnan(x).any():
            message = "NaN in the input"
            raise ValueError(message)
        return torch.relu(x)


class ListBranch(nn.Module):
    """Looks at values through tolist(), which no operator sees."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if sum(x.tolist()[0]) > 0 else x - 1


class NumpyBranch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.numpy().sum() > 0 else x - 1


class LoopOverFound(nn.Module):
    """As many rounds as there are positive numbers: a size that comes from data."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = torch.nonzero(x > 0)
        total = torch.zeros_like(x)
        for index in range(found.shape[0]):
            total = total + x * (index + 1)
        return total


class Gate(nn.Module):
    """The only part with control flow."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:
            return torch.tanh(x)
        return x * -3


class Unscriptable(nn.Module):
    """Python that scripting cannot take, without a decision in it."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.linear = _linear(seed)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scales = iter((2.0, 0.5))
        return torch.relu(self.linear(x)) * next(scales) + next(scales)


class Mixed(nn.Module):
    """A gate that must be scripted between layers that must be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.gate, self.after = Unscriptable(1), Gate(), Unscriptable(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.after(self.gate(self.before(x) - 3.5))
        return answer


class BranchAroundUnscriptable(nn.Module):
    """The decision is the model's own, and its parts must be traced before it can be scripted."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = Unscriptable(3), Unscriptable(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left: torch.Tensor = self.left(x)
        right: torch.Tensor = self.right(x)
        if x.sum() > 0:
            return left
        return right


class RememberedOutside(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _CALLS[0] += 1
        return x + _CALLS[0]


class RunningMean(nn.Module):
    """Changes a buffer at every call, and its answer only slightly."""

    def __init__(self) -> None:
        super().__init__()
        self.mean: torch.Tensor
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.mean = self.mean * 0.999999999 + 1e-12
        return x + self.mean


class SettlingCache(nn.Module):
    """Remembers a table it makes at its first call: not state, the answers stay the same."""

    def __init__(self) -> None:
        super().__init__()
        self.table: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.table is None:
            self.table = torch.arange(4.0)
        return x + self.table


class StuckInTraining(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def train(self, mode: bool = True) -> StuckInTraining:
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.drop(x)
        return answer


class LeftInTraining(nn.Module):
    """An ordinary model that nobody called eval() on."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(_linear(5), nn.Dropout(0.5), nn.BatchNorm1d(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.layers(x)
        return answer


class OnAnotherDevice(nn.Module):
    """Makes a tensor on a device that this machine does not have."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.ones(4, device="cuda")


class KeepsADevice(nn.Module):
    """Asks for its input's device, which is right wherever it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = torch.full((4,), 3.0)  # neither parameter nor buffer: .to() leaves it

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.offset.to(x.device) + torch.arange(4, device=x.device)


class PadsToEight(nn.Module):
    """The example of the EI guide: how much it pads depends on the size."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        missing = 8 - x.shape[-1]
        if missing > 0:
            x = nn.functional.pad(x, (0, missing), value=-1.0)
        return x * 2


class TakesASetting(nn.Module):
    def forward(self, x: torch.Tensor, double: bool) -> torch.Tensor:
        return x * 2 if double else x


class TakesSomething(nn.Module):
    def forward(self, x: torch.Tensor, scale):  # type: ignore[no-untyped-def]
        return x * scale


class TakesChoices(nn.Module):
    def forward(self, x: torch.Tensor, which: list[int]) -> torch.Tensor:
        return x[:, which]


class TakesADefault(nn.Module):
    def forward(self, x: torch.Tensor, scale: float = 3.0) -> torch.Tensor:
        return x * scale


class Noise(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.randn_like(x)


class SeededNoise(nn.Module):
    """Repeats itself because it seeds, which a script keeps and a trace does not."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(0)
        return x + torch.randn(4)
