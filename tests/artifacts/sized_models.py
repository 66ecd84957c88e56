"""Models whose inputs vary in size, some of which cannot be filled up."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

VOCABULARY = 50


class Embedded(nn.Module):
    """Tokens to vectors."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        weight = torch.randn(VOCABULARY, 8, generator=generator)
        self.embedding = nn.Embedding(VOCABULARY, 8, _weight=weight)
        self.mix = nn.Linear(8, 8)
        with torch.no_grad():
            self.mix.weight.copy_(torch.randn(8, 8, generator=generator) / 3)
            self.mix.bias.zero_()


class Attends(Embedded):
    """One masked attention; returns a vector per token and the mean over those that count."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        vectors = self.embedding(input_ids)
        scores = self.mix(vectors) @ vectors.transpose(1, 2)
        scores = scores.masked_fill(attention_mask[:, None, :] == 0, -1e9)
        tokens = functional.softmax(scores, dim=-1) @ vectors
        weights = attention_mask.unsqueeze(-1).float()
        return {"tokens": tokens, "mean": (tokens * weights).sum(1) / weights.sum(1)}


class TakesTheMean(Embedded):
    """Looks at every token, whether it was filled in or not."""

    def forward(self, input_ids: Tensor) -> Tensor:
        answer: Tensor = self.mix(self.embedding(input_ids)).mean(dim=1)
        return answer


class SumsButPadding(Embedded):
    """Has no mask: token 1 is its padding, and counts for nothing."""

    def forward(self, input_ids: Tensor) -> Tensor:
        counts = (input_ids != 1).unsqueeze(-1)
        answer: Tensor = (self.mix(self.embedding(input_ids)) * counts).sum(dim=1)
        return answer


class IgnoresItsMask(Embedded):
    """Takes a mask and does not use it everywhere."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        vectors = self.embedding(input_ids)
        answer: Tensor = self.mix(vectors).amax(dim=1) + (vectors * attention_mask.unsqueeze(-1)).sum(1)
        return answer


class Rows(nn.Module):
    """A classifier of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)
        with torch.no_grad():
            self.linear.weight.copy_(torch.arange(12.0).view(3, 4) / 10)
            self.linear.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return functional.softmax(self.linear(x), dim=1)


class ComparesRows(nn.Module):
    """Every row's answer hangs on all rows."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(dim=0, keepdim=True)


class LooksAtEarlierRows(nn.Module):
    """Rows that follow change nothing, but rows before do: a sequence that comes first, and no batch."""

    def forward(self, x: Tensor) -> Tensor:
        return x.cumsum(dim=0)


class Halves(nn.Module):
    """Its answer is half as long."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, ::2] * 2


class ServesOddLengthsOtherwise(Embedded):
    """Python decides by the length: what a bucket's program recorded is right for the bucket alone."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        vectors: Tensor = (self.mix(self.embedding(input_ids)) * attention_mask.unsqueeze(-1)).sum(1)
        return -vectors if input_ids.shape[1] % 2 else vectors
