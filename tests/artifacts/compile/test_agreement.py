from __future__ import annotations

import math

import pytest
import torch

from artifacts.serve.agreement import difference

NAN, INF = float("nan"), float("inf")


def _of(*values: float) -> list[torch.Tensor]:
    return [torch.tensor(values)]


def test_the_difference_is_the_largest_absolute_one() -> None:
    assert difference(_of(1.0, 2.0, 3.0), _of(1.0, 2.5, 2.0)).value == 1.0


def test_nan_and_infinity_agree_with_themselves() -> None:
    assert difference(_of(NAN, INF, -INF, 1.0), _of(NAN, INF, -INF, 1.0)).value == 0.0


@pytest.mark.parametrize("got", [_of(1.0, 2.0), _of(NAN, NAN), _of(INF, 2.0)])
def test_nan_and_infinity_at_other_places_are_never_tolerated(got: list[torch.Tensor]) -> None:
    assert math.isinf(difference(_of(NAN, 2.0), got).value)


@pytest.mark.parametrize(
    ("got", "reason"),
    [
        ([torch.ones(1, 2)], "float32[1, 2] instead of float32[2]"),
        ([torch.ones(2, dtype=torch.float64)], "float64[2] instead of float32[2]"),
        ([torch.ones(2), torch.ones(2)], "2 outputs instead of 1"),
    ],
)
def test_answers_of_another_kind_cannot_be_compared(got: list[torch.Tensor], reason: str) -> None:
    found = difference([torch.ones(2)], got)
    assert math.isinf(found.value)
    assert reason in found.reason


def test_integers_and_booleans_are_compared_exactly() -> None:
    assert difference([torch.tensor([2**40])], [torch.tensor([2**40 + 1])]).value == 1.0
    assert difference([torch.tensor([True])], [torch.tensor([False])]).value == 1.0
