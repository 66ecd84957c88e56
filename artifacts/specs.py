"""The tensors that go into a model and come out of it, as people write them and as documents hold them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from artifacts.axes import MOST_BUCKETS, Axis, Kind
from artifacts.canonical import Fields
from artifacts.errors import BadRequest

DTYPE_BYTES = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
}
MAX_TENSOR_BYTES = 1 << 30
SPEC_HINT = (
    "A SPEC is [name=]dtype[shape][:low..high]; a dimension may be a range 1..8 or buckets 32|64|128; a name "
    "may be a path into a dictionary or tuple, such as batch.mask or pair.0. "
    "For example input_ids=int64[1,128]:0..30522."
)

_NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"
# An argument of forward, or a path to a tensor inside of one: keys may have hyphens, items are numbers.
_PATH = r"[A-Za-z_]\w{0,99}(?:\.[\w-]{1,100}){0,15}"
_SPEC = re.compile(
    rf"(?:(?P<name>{_PATH})=)?(?P<dtype>[a-z]+\d*)\[(?P<shape>[\d,\s.|]*)\]"
    rf"(?::(?P<low>{_NUMBER})\.\.(?P<high>{_NUMBER}))?"
)
_NAME = re.compile(_PATH)
_MOST_DIMENSIONS = 64  # as numpy

Sizes = Mapping[Axis, int]  # the sizes of one request, or of one program


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One tensor that goes in or comes out.

    Random values lie in [low, high). Without a range they are standard normal for floats, 0..255 for
    uint8 and 0..1 for other integers, which every embedding table and mask accepts.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]  # the largest, where sizes vary
    low: float | None = None
    high: float | None = None
    axes: tuple[tuple[int, Axis], ...] = ()  # the dimensions that vary, ascending
    pad: float = 0.0  # what an input is filled up with at the end of a length

    @classmethod
    def parse(cls, text: str, default_name: str = "input0") -> TensorSpec:
        """Read `[name=]dtype[shape][:low..high]`; raises BadRequest."""
        match = _SPEC.fullmatch(text.strip())
        if match is None:
            raise BadRequest(f"{text!r} is not an input SPEC.", SPEC_HINT)
        low, high = match["low"], match["high"]
        dimensions = _parse_dimensions(match["shape"], text)
        spec = cls(
            name=match["name"] or default_name,
            dtype=match["dtype"],
            shape=tuple(each.high if isinstance(each, Axis) else each for each in dimensions),
            low=None if low is None else float(low),
            high=None if high is None else float(high),
            axes=tuple((index, each) for index, each in enumerate(dimensions) if isinstance(each, Axis)),
        )
        spec.check()
        return spec

    def check(self) -> None:
        """Raise BadRequest when no tensor can be like this."""
        if not _NAME.fullmatch(self.name):
            raise BadRequest(f"{self.name!r} cannot be the name of a tensor.", SPEC_HINT)
        if self.dtype not in DTYPE_BYTES:
            raise BadRequest(f"{self.dtype!r} is not a dtype.", f"Known dtypes: {', '.join(DTYPE_BYTES)}.")
        if any(size < 1 for size in self.shape):
            raise BadRequest(f"Input {self.name} has a dimension below 1.", SPEC_HINT)
        if self.bytes > MAX_TENSOR_BYTES:
            raise BadRequest(f"Input {self.name} would take {self.bytes} bytes.", "The limit is 1 GiB.")
        if any(index >= len(self.shape) or self.shape[index] != axis.high for index, axis in self.axes):
            raise BadRequest(f"The axes of {self.name} are not those of its shape.")
        self._check_range()
        self._check_pad()

    def _check_range(self) -> None:
        if self.low is None or self.high is None:
            if self.low is not None or self.high is not None:
                raise BadRequest(f"The range of input {self.name} has one end only.", SPEC_HINT)
            return
        if not self.low < self.high:
            raise BadRequest(f"The range of input {self.name} is empty: {self.low} to {self.high}.")
        if "int" in self.dtype and not (self.low.is_integer() and self.high.is_integer()):
            raise BadRequest(f"The range of input {self.name} is not of whole numbers.", SPEC_HINT)

    def _check_pad(self) -> None:
        if "float" not in self.dtype and not self.pad.is_integer():
            raise BadRequest(f"The padding value {self.pad:g} of {self.name} is not a whole number.")
        if self.dtype == "bool" and self.pad not in (0, 1):
            raise BadRequest(f"The padding value {self.pad:g} of {self.name} is neither 0 nor 1.")

    @property
    def bytes(self) -> int:
        """Return the size of the raw tensor, the largest where sizes vary."""
        return prod(self.shape) * DTYPE_BYTES[self.dtype]

    def at(self, sizes: Sizes) -> TensorSpec:
        """Return the spec with its axes fixed at these sizes."""
        varying = dict(self.axes)
        shape = tuple(
            sizes[varying[index]] if index in varying else size for index, size in enumerate(self.shape)
        )
        return replace(self, shape=shape, axes=())

    def __str__(self) -> str:
        varying = dict(self.axes)
        shape = ",".join(str(varying.get(index, size)) for index, size in enumerate(self.shape))
        return f"{self.name}={self.dtype}[{shape}]"

    def as_document(self) -> dict[str, Any]:
        """Return the spec as JSON members; one of fixed sizes has neither axes nor padding."""
        document: dict[str, Any] = {
            "name": self.name,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "low": self.low,
            "high": self.high,
        }
        if self.axes:
            document["axes"] = [{"dimension": index, **axis.as_document()} for index, axis in self.axes]
            document["pad"] = self.pad
        return document

    @classmethod
    def from_document(cls, value: object) -> TensorSpec:
        """Read what `as_document` wrote; raises BadRequest."""
        fields = Fields(value, "tensor spec")
        spec = cls(
            name=fields.text("name", _NAME),
            dtype=fields.text("dtype"),
            shape=fields.integers("shape"),
            low=fields.optional_number("low"),
            high=fields.optional_number("high"),
            axes=tuple(_read_axis(axis) for axis in fields.optional_array("axes")),
            pad=fields.optional_number("pad") or 0.0,
        )
        fields.finish()
        spec.check()
        return spec


Parts = dict[str, "TensorSpec | Parts"]  # by argument, key or index


def _read_axis(value: object) -> tuple[int, Axis]:
    members = dict(value) if isinstance(value, dict) else {}
    dimension = members.pop("dimension", None)
    if type(dimension) is not int or not 0 <= dimension < _MOST_DIMENSIONS:
        raise BadRequest("An axis of a tensor spec has no dimension.")
    return dimension, Axis.from_document(members)


def _parse_dimensions(text: str, spec: str) -> list[Axis | int]:
    if not text.strip():
        return []
    try:
        return [Axis.parse(size, first=index == 0) for index, size in enumerate(text.split(","))]
    except BadRequest as error:
        raise BadRequest(
            f"{spec!r} has a malformed shape: {error.message}", error.hint or SPEC_HINT
        ) from error


def axes_of(specs: Iterable[TensorSpec]) -> tuple[Axis, ...]:
    """Return the different axes in the order in which they are met."""
    return tuple(dict.fromkeys(axis for spec in specs for _, axis in spec.axes))


def batch_axis(specs: Iterable[TensorSpec]) -> Axis | None:
    """Return the axis of the rows, if their number may vary."""
    return next((axis for axis in axes_of(specs) if axis.kind is Kind.BATCH), None)


def parse_specs(texts: tuple[str, ...]) -> tuple[TensorSpec, ...]:
    """Read all input SPECs; unnamed ones are called input0, input1, … by position."""
    specs = tuple(TensorSpec.parse(text, f"input{index}") for index, text in enumerate(texts))
    nested(specs)
    check_axes(specs)
    return specs


def nested(specs: Iterable[TensorSpec]) -> Parts:
    """Return the specs by argument, and where names are paths by their parts inside of it.

    Raises BadRequest where two have one name, or a name is a tensor and also leads to others.
    """
    found: Parts = {}
    for spec in specs:
        *above, last = spec.name.split(".")
        inside = found
        for depth, part in enumerate(above):
            below = inside.setdefault(part, {})
            if isinstance(below, TensorSpec):
                raise _both(".".join(above[: depth + 1]))
            inside = below
        if isinstance(inside.get(last), dict):
            raise _both(spec.name)
        if last in inside:
            raise BadRequest(f"Two inputs are called {spec.name!r}.", "Give each SPEC a name of its own.")
        inside[last] = spec
    return found


def _both(name: str) -> BadRequest:
    return BadRequest(
        f"{name!r} is a tensor by one SPEC, and holds tensors by another.",
        f"Name every tensor in it, such as {name}.0 or {name}.mask, or only the one that it is.",
    )


def check_axes(specs: tuple[TensorSpec, ...]) -> None:
    """Raise BadRequest where batches do not match, or there would be too many programs."""
    batch = batch_axis(specs)
    for spec in specs:
        if batch is not None and (0, batch) not in spec.axes:
            raise BadRequest(
                f"The batch is {batch} for one input, but {spec.name} is {spec}.",
                "Give the first dimension of every input the same range.",
            )
    programs = prod(len(axis.buckets) for axis in axes_of(specs))
    if programs > MOST_BUCKETS:
        raise BadRequest(
            f"These sizes take {programs} programs; the limit is {MOST_BUCKETS}.",
            "Name fewer buckets, for example 1|8 and 64|128.",
        )


def padded(specs: tuple[TensorSpec, ...], values: Mapping[str, float]) -> tuple[TensorSpec, ...]:
    """Return the specs with these padding values, by input; raises BadRequest outside of a range."""
    found = tuple(replace(spec, pad=float(values.get(spec.name, spec.pad))) for spec in specs)
    for spec in found:
        spec.check()
        if spec.low is None or spec.high is None or spec.low <= spec.pad < spec.high:
            continue
        if any(axis.kind is Kind.LENGTH for _, axis in spec.axes):
            raise BadRequest(
                f"The padding value {spec.pad:g} of {spec.name} is outside of {spec.low:g}..{spec.high:g}.",
                f"Name another with --pad {spec.name}=VALUE.",
            )
    return found


def parse_pads(texts: Iterable[str]) -> dict[str, float]:
    """Read padding values, each `name=number`; raises BadRequest."""
    values: dict[str, float] = {}
    for text in texts:
        name, _, number = text.partition("=")
        if not _NAME.fullmatch(name.strip()) or not re.fullmatch(_NUMBER, number.strip()):
            raise BadRequest(
                f"{text!r} is not a padding value.", "It is name=number, for example input_ids=1."
            )
        values[name.strip()] = float(number)
    return values
