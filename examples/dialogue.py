"""A dialogue parser with a beam search: a scripted class with an order, lists, sorting and an early end.

amazonei compile examples/dialogue.py:parser --input 'words=int64[1,12]:0..50' --target c7i.xlarge
"""

from __future__ import annotations

import torch
from torch import nn

WORDS, WIDTH = 50, 16


@torch.jit.script
class Plan:
    """A sequence of actions and how likely it is; the likelier plan comes first."""

    def __init__(self, score: float, actions: list[int]) -> None:
        self.score = score
        self.actions = actions

    def __lt__(self, other: Plan) -> bool:
        # More likely is less: sorting puts the best plan at the front.
        return self.score > other.score

    def ended(self) -> bool:
        """Return whether the last action ends the plan."""
        return len(self.actions) > 0 and self.actions[len(self.actions) - 1] == 0


class DialogueParser(nn.Module):
    """Reads a sentence and searches the most likely plan of actions."""

    def __init__(self, beam: int = 3, longest: int = 8) -> None:
        super().__init__()
        self.beam, self.longest, self.actions = beam, longest, 6
        self.words = nn.Embedding(WORDS, WIDTH)
        self.reader = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.next = nn.Linear(WIDTH + self.actions, self.actions)

    def forward(self, words: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map [1, n] word ids to [longest] actions, padded with 0, and the plan's log-likelihood."""
        meaning = self.reader(self.words(words))[1][0, 0]
        start: list[int] = []
        plans = [Plan(0.0, start)]
        step = 0
        while step < self.longest and not plans[0].ended():
            grown = [Plan(0.0, start)]
            grown.clear()
            for plan in plans:
                if plan.ended():
                    grown.append(plan)
                else:
                    scores = self.scores(meaning, plan.actions)
                    for action in range(self.actions):
                        grown.append(Plan(plan.score + float(scores[action]), plan.actions + [action]))  # noqa: PERF401, RUF005
            grown.sort()
            plans = grown[: self.beam]
            step += 1
        best = plans[0]
        padding = [0] * (self.longest - len(best.actions))
        return torch.tensor(best.actions + padding), torch.tensor([best.score])

    def scores(self, meaning: torch.Tensor, actions: list[int]) -> torch.Tensor:
        """Return the log-likelihood of each next action."""
        last = torch.zeros(self.actions)
        if len(actions) > 0:
            # The step weighs in, so that two orders of the same actions are not equally likely.
            last[actions[len(actions) - 1]] = 1.0 + 0.3 * len(actions)
        return torch.log_softmax(self.next(torch.cat([meaning, last])), dim=0)


def parser() -> nn.Module:
    """Return a parser with random weights that are the same at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return DialogueParser()
