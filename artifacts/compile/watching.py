"""Watch the eager model run: which lines of Python look at values that come from the inputs.

A trace records tensors only, so whatever Python decides by such a value is frozen to what the example
decided. Shapes are fixed in an artifact, and in eager mode they are plain numbers: a decision by shape is
not seen here, and need not be.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from artifacts.compile.places import Place, Surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from artifacts.compile.subject import Subject
    from artifacts.serve.sampling import Tensors

# What a model raises at inputs it does not take.
REFUSALS = (RuntimeError, ValueError, LookupError, ArithmeticError, AssertionError)
# item(), bool(), int() and float() end here.
_LOOKS = torch.ops.aten._local_scalar_dense.default  # noqa: SLF001 - an operator's name, not a private
_WHOLE_LOOKS = frozenset({torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.__array__})
_MASKS = frozenset({torch.bool, torch.uint8})
_RANDOM, _SIZE_FROM_DATA = torch.Tag.nondeterministic_seeded, torch.Tag.dynamic_output_shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A line that decides by a value of the inputs, as far as the runs so far show it."""

    place: Place
    ways: int  # different courses of values, in runs that ended in an answer
    guard: bool  # it decided otherwise, and the model raised
    yes_or_no: bool  # Python was handed truth values only, and not numbers that it may compare with anything
    by_size: bool  # what comes from the data is a tensor's size, by which other lines may decide

    @property
    def both_sides(self) -> bool:
        """Return whether answers that agree say something about the other side too."""
        return self.yes_or_no and (self.ways > 1 or self.guard)


@dataclass(slots=True, kw_only=True)
class Observation:
    """What one eager run looked at; values are in the order of the run."""

    decisions: list[tuple[Place, object]] = field(default_factory=list)
    random: list[tuple[Place, str]] = field(default_factory=list)  # operators that draw numbers
    answered: bool = False  # False: the model raised


def observe(subject: Subject, inputs: Tensors) -> Observation:
    """Run the model once and return what it looked at; an exception of the model is part of the answer."""
    seen = Observation()
    surroundings = Surroundings(subject.model)
    arguments = subject.arguments(inputs)
    operators = _Operators(seen, surroundings, arguments)
    with contextlib.suppress(*REFUSALS), torch.no_grad(), operators, _WholeTensors(operators):
        subject.flat(*arguments)
        seen.answered = True
    return seen


class _Operators(TorchDispatchMode):
    """Follows what the inputs flow into, by the storages they touch."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keep torch from importing its whole compiler to switch it off here, where it never is on: 4 s."""
        return False

    def __init__(self, seen: Observation, surroundings: Surroundings, inputs: Iterable[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen = seen
        self._surroundings = surroundings
        self._touched = {_storage(tensor) for tensor in inputs}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        touched = self.touches(given)
        answer = func(*args, **(kwargs or {}))
        if func is _LOOKS and touched:
            self.decided(answer)
        if _RANDOM in func.tags:
            self._drew(func)
        if touched and isinstance(answer, torch.Tensor) and _sized_by_data(func, args):
            self.decided(answer.shape)
        self._mark(answer, touched=touched)
        return answer

    def touches(self, tensors: Iterable[torch.Tensor]) -> bool:
        """Return whether any of the tensors comes from the inputs."""
        return any(_storage(tensor) in self._touched for tensor in tensors)

    def decided(self, value: object) -> None:
        """Note that Python got this value, unless it is only printed."""
        place = self._surroundings.place()
        if place is not None:
            self.seen.decisions.append((place, value))

    def _drew(self, func: Any) -> None:
        place = self._surroundings.place()
        if place is not None:
            self.seen.random.append((place, str(func)))

    def _mark(self, answer: object, *, touched: bool) -> None:
        for leaf in tree_leaves(answer):
            if isinstance(leaf, torch.Tensor):
                # An address is used again after its storage is gone, so what is untouched is taken out.
                (self._touched.add if touched else self._touched.discard)(_storage(leaf))


class _WholeTensors(TorchFunctionMode):
    """Sees tolist() and numpy(), which read memory without an operator."""

    def __init__(self, operators: _Operators) -> None:
        super().__init__()
        self._operators = operators

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        answer = func(*args, **(kwargs or {}))
        if func in _WHOLE_LOOKS and self._operators.touches(args[:1]):
            self._operators.decided(str(answer))
        return answer


def _sized_by_data(func: Any, args: tuple[Any, ...]) -> bool:
    """Return whether the size of the answer depends on values, as of nonzero() and of x[x > 0]."""
    if _SIZE_FROM_DATA not in func.tags:
        return False
    if func is not torch.ops.aten.index.Tensor:
        return True
    return any(index is not None and index.dtype in _MASKS for index in args[1])


def _storage(tensor: torch.Tensor) -> int:
    try:
        return int(tensor.untyped_storage()._cdata)  # noqa: SLF001 - the only identity a storage has
    except (NotImplementedError, RuntimeError):
        return 0  # a sparse tensor has no storage of its own
