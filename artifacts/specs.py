"""The tensors that go into a model and come out of it, as people write them and as documents hold them."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

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
SPEC_HINT = "A SPEC is [name=]dtype[shape][:low..high], for example input_ids=int64[1,128]:0..30522."

_NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"
_SPEC = re.compile(
    rf"(?:(?P<name>[A-Za-z_]\w*)=)?(?P<dtype>[a-z]+\d*)\[(?P<shape>[\d,\s]*)\]"
    rf"(?::(?P<low>{_NUMBER})\.\.(?P<high>{_NUMBER}))?"
)
_NAME = re.compile(r"[A-Za-z_]\w{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One tensor that goes in or comes out.

    Random values lie in [low, high). Without a range they are standard normal for floats, 0..255 for
    uint8 and 0..1 for other integers, which every embedding table and mask accepts.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    low: float | None = None
    high: float | None = None

    @classmethod
    def parse(cls, text: str, default_name: str = "input0") -> TensorSpec:
        """Read `[name=]dtype[shape][:low..high]`; raises BadRequest."""
        match = _SPEC.fullmatch(text.strip())
        if match is None:
            raise BadRequest(f"{text!r} is not an input SPEC.", SPEC_HINT)
        low, high = match["low"], match["high"]
        spec = cls(
            name=match["name"] or default_name,
            dtype=match["dtype"],
            shape=_parse_shape(match["shape"], text),
            low=None if low is None else float(low),
            high=None if high is None else float(high),
        )
        spec.check()
        return spec

    def check(self) -> None:
        """Raise BadRequest when no tensor can be like this."""
        if self.dtype not in DTYPE_BYTES:
            raise BadRequest(f"{self.dtype!r} is not a dtype.", f"Known dtypes: {', '.join(DTYPE_BYTES)}.")
        if any(size < 1 for size in self.shape):
            raise BadRequest(f"Input {self.name} has a dimension below 1.", SPEC_HINT)
        if self.bytes > MAX_TENSOR_BYTES:
            raise BadRequest(f"Input {self.name} would take {self.bytes} bytes.", "The limit is 1 GiB.")
        self._check_range()

    def _check_range(self) -> None:
        if self.low is None or self.high is None:
            if self.low is not None or self.high is not None:
                raise BadRequest(f"The range of input {self.name} has one end only.", SPEC_HINT)
            return
        if not self.low < self.high:
            raise BadRequest(f"The range of input {self.name} is empty: {self.low} to {self.high}.")
        if "int" in self.dtype and not (self.low.is_integer() and self.high.is_integer()):
            raise BadRequest(f"The range of input {self.name} is not of whole numbers.", SPEC_HINT)

    @property
    def bytes(self) -> int:
        """Return the size of the raw tensor."""
        return prod(self.shape) * DTYPE_BYTES[self.dtype]

    def __str__(self) -> str:
        return f"{self.name}={self.dtype}[{','.join(map(str, self.shape))}]"

    def as_document(self) -> dict[str, Any]:
        """Return the spec as JSON members."""
        return {**asdict(self), "shape": list(self.shape)}

    @classmethod
    def from_document(cls, value: object) -> TensorSpec:
        """Read what `as_document` wrote; raises BadRequest."""
        fields = Fields(value, "tensor spec")
        spec = cls(
            name=fields.text("name", _NAME),
            dtype=fields.text("dtype"),
            shape=_whole_numbers(fields.array("shape")),
            low=fields.optional_number("low"),
            high=fields.optional_number("high"),
        )
        fields.finish()
        spec.check()
        return spec


def _parse_shape(text: str, spec: str) -> tuple[int, ...]:
    if not text.strip():
        return ()
    try:
        return tuple(int(size) for size in text.split(","))
    except ValueError as error:
        raise BadRequest(f"{spec!r} has a malformed shape.", SPEC_HINT) from error


def _whole_numbers(values: tuple[Any, ...]) -> tuple[int, ...]:
    if not all(type(value) is int for value in values):
        raise BadRequest("A shape holds something other than whole numbers.")
    return values


def parse_specs(texts: tuple[str, ...]) -> tuple[TensorSpec, ...]:
    """Read all input SPECs; unnamed ones are called input0, input1, … by position."""
    specs = tuple(TensorSpec.parse(text, f"input{index}") for index, text in enumerate(texts))
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise BadRequest(f"Two inputs are called {name!r}.", "Give each SPEC a name of its own.")
    return specs
