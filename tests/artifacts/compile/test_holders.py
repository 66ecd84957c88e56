# ruff: noqa: F401, UP006, UP007, UP035, UP045 - annotations are text here, and old spellings are among them
from __future__ import annotations

import collections
import enum
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Dict,
    List,
    NamedTuple,
    NewType,
    Optional,
    OrderedDict,
    Sequence,
    Tuple,
    TypeVar,
    Union,
)

import pytest
import torch
from torch import Tensor

from artifacts.compile.holders import chosen, example, holds_tensors, resolved, takes_tensor
from artifacts.errors import BadRequest

if TYPE_CHECKING:
    import numpy as np

Point = collections.namedtuple("Point", "x y")  # noqa: PYI024 - without types is what is tested
Batch = NewType("Batch", dict[str, Tensor])
Item = TypeVar("Item")


class Colour(enum.Enum):
    RED = 1


class Tree(NamedTuple):
    leaf: Tensor
    below: Optional[Tree] = None


class Encoding(collections.UserDict[str, Tensor]):
    """As tokenizers return it."""


ONE, TWO = torch.tensor(1), torch.tensor(2)


def made(declared: object, **parts: Tensor) -> object:
    names = [name.removeprefix("_") for name in parts]
    return chosen("it", declared, names).made(dict(zip(names, parts.values(), strict=True)))


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ("List[Tensor]", [ONE, TWO]),
        ("list", [ONE, TWO]),
        ("Tuple[Tensor, Tensor]", (ONE, TWO)),
        ("tuple[Tensor, ...]", (ONE, TWO)),
        ("Sequence[Tensor]", (ONE, TWO)),
        ("Optional[List[Tensor]]", [ONE, TWO]),
        ("Union[Tensor, Dict[str, Tensor], List[Tensor]]", {"0": ONE, "1": TWO}),
        ("Annotated[list[Tensor], 3]", [ONE, TWO]),
        ("dict[int, Tensor]", {0: ONE, 1: TWO}),
        ("Dict[str, Tensor]", {"0": ONE, "1": TWO}),
        ("list[np.ndarray | Tensor]", [ONE, TWO]),  # numpy is imported for type checkers only
        ("Any", (ONE, TWO)),
        ("Item", (ONE, TWO)),
        ("nonsense(", (ONE, TWO)),
    ],
)
def test_numbered_parts_make_what_is_declared(annotation: str, expected: object) -> None:
    assert made(resolved(annotation, globals()), _0=ONE, _1=TWO) == expected


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ("dict", {"x": ONE, "y": TWO}),
        ("Batch", {"x": ONE, "y": TWO}),
        ("OrderedDict[str, Tensor]", collections.OrderedDict(x=ONE, y=TWO)),
        ("collections.defaultdict[str, Tensor]", {"x": ONE, "y": TWO}),
        ("Encoding", Encoding(x=ONE, y=TWO)),
        ("Point", Point(ONE, TWO)),
        ("Union[Tensor, List[Tensor], Point]", Point(ONE, TWO)),
        ("np.ndarray", {"x": ONE, "y": TWO}),
    ],
)
def test_named_parts_make_what_is_declared(annotation: str, expected: object) -> None:
    found = made(resolved(annotation, globals()), x=ONE, y=TWO)
    assert found == expected
    assert type(found) is type(expected)


def test_keys_that_no_spec_can_name_are_refused() -> None:
    with pytest.raises(BadRequest, match="it has keys that no SPEC can name"):
        made(dict[Colour, Tensor], RED=ONE)


@pytest.mark.parametrize(
    ("annotation", "holds", "is_one", "path"),
    [
        (Tensor, False, True, "it"),
        (Optional[Tensor], False, True, "it"),
        (torch.nn.Parameter, False, True, "it"),
        (Any, False, True, "it"),
        (list[int], False, False, "it.0"),
        (dict[str, float], False, False, "it.KEY"),
        (Dict[str, Tuple[Tensor, Tensor]], True, False, "it.KEY.0"),
        (Union[Tensor, List[Tensor]], True, True, "it"),
        (Tree, True, False, "it.leaf"),
        (Dict[int, Tree], True, False, "it.0.leaf"),
        (int, False, False, "it"),
    ],
)
def test_what_holds_tensors_is_told_from_settings(
    annotation: object, holds: bool, is_one: bool, path: str
) -> None:
    assert (holds_tensors(annotation), takes_tensor(annotation)) == (holds, is_one)
    assert example("it", annotation) == path


def test_a_type_that_holds_itself_is_followed_as_deep_as_it_is_named() -> None:
    tree = chosen("it", Tree, ["leaf", "below"])
    below = chosen("it.below", tree.declared("below"), ["leaf"])
    assert below.made({"leaf": ONE}) == Tree(ONE)
