"""Dimensions that may have several sizes: which sizes are accepted, and which are compiled for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

from artifacts.canonical import Fields
from artifacts.errors import BadRequest

MOST_BUCKETS = 16  # each is a program to compile, to check and to warm up
# Below this, a shorter program saves nothing worth compiling it.
_LEAST_LENGTH = 16
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
AXIS_HINT = "A dimension is a number, a range 16..128, or buckets 32|64|128."


class Kind(str, Enum):  # noqa: UP042 - artifacts/ runs on Python 3.10
    """What a request is filled up with to the size of a program."""

    BATCH = "batch"  # the first dimension: rows, filled up with copies of the first row
    LENGTH = "length"  # any other: filled up at its end with the input's padding value


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A dimension that may have several sizes; equal axes of a request's inputs have one size in it."""

    kind: Kind
    low: int  # the smallest size that is accepted
    buckets: tuple[int, ...]  # the sizes that are compiled for, ascending; the last is the largest accepted

    @classmethod
    def parse(cls, text: str, *, first: bool) -> Axis | int:
        """Read one dimension, `128`, `16..128` or `32|64|128`; one size is a number. Raises BadRequest."""
        kind = Kind.BATCH if first else Kind.LENGTH
        text = text.strip()
        if text.isdecimal():
            return int(text)
        if match := _RANGE.fullmatch(text):
            low, high = int(match[1]), int(match[2])
            axis = cls(kind=kind, low=low, buckets=_powers(low, high, 1 if first else _LEAST_LENGTH))
        else:
            sizes = [part.strip() for part in text.split("|")]
            if len(sizes) < 2 or not all(size.isdecimal() for size in sizes):
                raise BadRequest(f"{text!r} is not a dimension.", AXIS_HINT)
            axis = cls(kind=kind, low=1, buckets=tuple(sorted({int(size) for size in sizes})))
        axis.check()
        return axis if axis.low < axis.high else axis.high

    def check(self) -> None:
        """Raise BadRequest when no sizes can be like this."""
        if not self.buckets or self.low < 1 or self.low > self.high:
            raise BadRequest(f"The sizes {self} are empty or begin below 1.", AXIS_HINT)
        if list(self.buckets) != sorted(set(self.buckets)) or self.buckets[0] < self.low:
            raise BadRequest(f"The buckets of {self} are not ascending sizes.", AXIS_HINT)
        if len(self.buckets) > MOST_BUCKETS:
            raise BadRequest(
                f"The sizes {self} take {len(self.buckets)} programs; the limit is {MOST_BUCKETS}.",
                "Name fewer buckets, for example 32|128|512.",
            )

    @property
    def high(self) -> int:
        """Return the largest size that is accepted."""
        return self.buckets[-1] if self.buckets else 0

    def bucket(self, size: int) -> int:
        """Return the smallest compiled size that holds this one; raises BadRequest outside of the range."""
        if not self.low <= size <= self.high:
            raise BadRequest(f"The {self.kind.value} is {size}; this artifact takes {self}.")
        return next(bucket for bucket in self.buckets if bucket >= size)

    def __str__(self) -> str:
        return f"{self.low}..{self.high}"

    def as_document(self) -> dict[str, Any]:
        """Return the axis as JSON members."""
        return {"kind": self.kind.value, "low": self.low, "buckets": list(self.buckets)}

    @classmethod
    def from_document(cls, value: object) -> Axis:
        """Read what `as_document` wrote; raises BadRequest."""
        fields = Fields(value, "axis")
        kind = fields.text("kind", re.compile("batch|length"))
        axis = cls(kind=Kind(kind), low=fields.integer("low"), buckets=fields.integers("buckets"))
        fields.finish()
        axis.check()
        return axis


def _powers(low: int, high: int, least: int) -> tuple[int, ...]:
    """Return the powers of two from the least to below `high` that hold `low`, and `high`."""
    size, sizes = least, []
    while size < high:
        if size >= low:
            sizes.append(size)
        size *= 2
    return (*sizes, high)
