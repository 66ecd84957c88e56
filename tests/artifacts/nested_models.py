"""Models that take several tensors as one argument, loaded as `path/to/nested_models.py:callable`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.artifacts.sized_models import Embedded

if TYPE_CHECKING:
    from collections.abc import Mapping


def _linear(seed: int, width: int = 4) -> nn.Linear:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Linear(width, width)


class TakesADictionary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = _linear(1)

    def forward(self, batch: dict[str, Tensor], shift: Tensor) -> dict[str, Tensor]:
        return {"hidden": self.linear(batch["pixels"]) * batch["mask"] + shift, "mask": batch["mask"] * 2}


class TakesAnUndeclaredDictionary(nn.Module):
    """Says nothing of its argument, and takes its entries in their order."""

    def forward(self, batch):  # type: ignore[no-untyped-def]
        first, second = batch.values()
        return first - 2 * second


class TakesATuple(nn.Module):
    def forward(self, pair: tuple[Tensor, Tensor], scale: Tensor) -> Tensor:
        left, right = pair
        return (left - 2 * right) * scale


class TakesAList(nn.Module):
    """Empties its list: every call must get a new one."""

    def forward(self, parts: list[Tensor]) -> Tensor:
        last = parts.pop()
        return torch.cat(parts, 1) * last.sum()


class Pair(NamedTuple):
    left: Tensor
    right: Tensor
    scale: Tensor | None = None


class TakesANamedTuple(nn.Module):
    def forward(self, pair: Pair) -> Tensor:
        return pair.left - 2 * pair.right


@dataclass
class Boxes:
    corners: Tensor
    scores: Tensor


class TakesADataclass(nn.Module):
    def forward(self, boxes: Boxes) -> Tensor:
        return boxes.corners * boxes.scores


class Views(TypedDict):
    front: tuple[Tensor, Tensor]
    back: Tensor


class TakesATupleInADictionary(nn.Module):
    def forward(self, views: Views) -> Tensor:
        near, far = views["front"]
        return near - 2 * far + 3 * views["back"]


class TakesTuplesByName(nn.Module):
    def forward(self, views: dict[str, tuple[Tensor, Tensor]]) -> Tensor:
        near, far = views["front-left"]
        return near - 2 * far


class TakesNumberedEntries(nn.Module):
    def forward(self, levels: dict[int, Tensor]) -> Tensor:
        return levels[3] - levels[0]


class TakesEitherOr(nn.Module):
    def forward(self, x: Tensor | list[Tensor]) -> Tensor:
        return x[0] - 2 * x[1] if isinstance(x, list) else x


class OnlyCheckersKnow(nn.Module):
    """Its annotation names what is imported for type checkers only."""

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        return batch["left"] - 2 * batch["right"]


class ChangesItsInput(nn.Module):
    """Takes an entry away, puts another in, and writes into a tensor."""

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        right = batch.pop("right")
        batch["sum"] = batch["left"] + right
        batch["left"].mul_(0.0)
        return batch["sum"] - 2 * right


class Decides(nn.Module):
    """Decides by a value of an entry; no usual input is above 50."""

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        if bool(batch["x"].max() > 50):
            return batch["x"] * 0.0 + batch["other"]
        return batch["x"] + 1


class DecidesUndeclared(nn.Module):
    """The same, without the declaration that scripting needs."""

    def forward(self, batch):  # type: ignore[no-untyped-def]
        if bool(batch["x"].max() > 50):
            return batch["x"] * 0.0 + batch["other"]
        return batch["x"] + 1


class Gate(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return torch.tanh(x)
        return x * -3


class DecidesInAPart(nn.Module):
    """Cannot be scripted as a whole, but where it decides."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        scales = iter((2.0, 0.5))
        answer: Tensor = self.gate(batch["x"] * next(scales)) + batch["other"] * next(scales)
        return answer


class TakesALaterArgument(nn.Module):
    """Its tensors are not its first arguments."""

    def forward(self, x: Tensor, scale: float = 2.0, shift: Tensor | None = None) -> Tensor:
        if x.sum() > 0:
            return x * scale
        return x if shift is None else x + shift


class ConvolvesInADictionary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(2)
            self.convolution = nn.Conv2d(1, 2, 3)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        answer: Tensor = torch.relu(self.convolution(batch["image"])) + batch["shift"]
        return answer


class AttendsInADictionary(Embedded):
    """One masked attention over tokens, which come in one dictionary with their mask."""

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        mask = batch["mask"]
        vectors = self.embedding(batch["ids"])
        scores = (self.mix(vectors) @ vectors.transpose(1, 2)).masked_fill(mask[:, None, :] == 0, -1e9)
        weights = mask.unsqueeze(-1).float()
        answer: Tensor = (functional.softmax(scores, dim=-1) @ vectors * weights).sum(1) / weights.sum(1)
        return answer


class SumsInATuple(Embedded):
    """Has no mask: token 1 is its padding, and counts for nothing."""

    def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        ids, weight = pair
        counts = (ids != 1).unsqueeze(-1)
        answer: Tensor = (self.mix(self.embedding(ids)) * counts).sum(dim=1) * weight
        return answer


class Setting:
    """What no SPEC can make."""


class TakesASettingObject(nn.Module):
    def forward(self, setting: Setting) -> Tensor:
        raise NotImplementedError


class TakesADictionaryOfAnything(nn.Module):
    def forward(self, x: Tensor, batch: dict) -> Tensor:  # type: ignore[type-arg]
        answer: Tensor = x + batch["mask"]
        return answer
