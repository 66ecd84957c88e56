from __future__ import annotations

import pytest
import torch

from artifacts.compile.parity import examine
from artifacts.compile.subject import Subject, prepare_subject
from artifacts.errors import CompileError
from artifacts.specs import TensorSpec
from tests.artifacts.sample_models import DrawsInVain, DropoutLeftOn, OneDropped

SPEC = TensorSpec(name="x", dtype="float32", shape=(1, 4))


def _subject(model: torch.nn.Module) -> Subject:
    return prepare_subject(model, (SPEC,))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("model", [OneDropped, DropoutLeftOn])
def test_drawn_numbers_are_found_though_two_runs_agree_by_chance(
    model: type[torch.nn.Module], seed: int
) -> None:
    torch.manual_seed(seed)  # with half of these, two runs in a row draw the same
    with pytest.raises(CompileError, match=r"random numbers with aten.bernoulli_.float"):
        examine(_subject(model()))


def test_drawn_numbers_that_the_answer_does_not_depend_on_are_no_reason_to_refuse() -> None:
    _, cases = examine(_subject(DrawsInVain()))
    torch.testing.assert_close(cases[0].expected[0], cases[0].inputs["x"] * 2)
