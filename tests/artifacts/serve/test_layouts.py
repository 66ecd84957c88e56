"""A body of a layout that was seen before is read as the library reads it, and by nothing less strict."""

from __future__ import annotations

import json
import struct
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors import torch as safetensors

from artifacts.archive import open_verified
from artifacts.errors import BadRequest
from artifacts.serve import layouts
from artifacts.serve.codec import decode
from artifacts.serve.handler import Handler
from artifacts.serve.layouts import Layouts

if TYPE_CHECKING:
    from artifacts.compile.request import CompileResult

DTYPES = (torch.float64, torch.float32, torch.float16, torch.int64, torch.int32, torch.uint8, torch.bool)


@pytest.fixture
def handler(two_layers: CompileResult) -> Handler:
    with closing(open_verified(two_layers.artifact)) as contents:
        return Handler(contents.manifest, {})


def learned(tensors: dict[str, torch.Tensor]) -> tuple[Layouts, bytearray]:
    body = bytearray(safetensors.save(tensors))
    known = Layouts()
    known.learn(body, safetensors.load(bytes(body)))
    return known, body


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_known_layout_is_read_to_the_tensors_that_are_in_this_body(dtype: torch.dtype) -> None:
    known, _ = learned({"b": torch.zeros(2, 3, dtype=dtype), "a": torch.zeros(4, dtype=torch.float32)})
    others = {"b": torch.arange(6).reshape(2, 3).to(dtype), "a": torch.tensor([1.0, 2.0, float("nan"), 4.0])}
    read = known.read(bytearray(safetensors.save(others)))
    assert read is not None
    assert set(read) == {"a", "b"}
    for name, tensor in others.items():
        assert read[name].dtype == tensor.dtype
        assert read[name].shape == tensor.shape
        assert torch.equal(torch.nan_to_num(read[name]), torch.nan_to_num(tensor))


def test_another_shape_length_or_name_is_another_layout() -> None:
    known, body = learned({"x": torch.zeros(1, 4)})
    assert known.read(body) is not None
    for tensors in ({"x": torch.zeros(4, 1)}, {"y": torch.zeros(1, 4)}, {"x": torch.zeros(1, 5)}):
        assert known.read(bytearray(safetensors.save(tensors))) is None
    assert known.read(body + b"\0") is None
    assert known.read(body[:-1]) is None
    assert known.read(bytearray()) is None


def test_a_length_that_lies_about_a_known_header_is_unknown() -> None:
    known, body = learned({"x": torch.zeros(1, 4)})
    for wrong in (0, 8, 2**63):
        assert known.read(bytearray(struct.pack("<Q", wrong)) + body[8:]) is None


def test_tensors_of_a_body_are_its_own_and_not_the_next_ones() -> None:
    known, body = learned({"x": torch.ones(1, 4)})
    first = known.read(bytearray(body))
    second = known.read(bytearray(safetensors.save({"x": torch.full((1, 4), 7.0)})))
    assert first is not None
    assert second is not None
    second["x"].zero_()
    assert first["x"].tolist() == [[1.0] * 4]


def test_what_cannot_be_used_in_its_place_is_left_to_the_library() -> None:
    known, body = learned({"x": torch.zeros(2, dtype=torch.bfloat16)})
    assert known.read(body) is None  # NumPy has no such type
    header = json.dumps({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    header += b" " * (1 - len(header) % 4)  # the data begin at an odd place
    body = bytearray(struct.pack("<Q", len(header)) + header + b"\0" * 4)
    assert (8 + len(header)) % 4
    known.learn(body, safetensors.load(bytes(body)))
    assert known.read(body) is None


def test_a_client_that_sends_ever_new_layouts_fills_no_memory() -> None:
    known = Layouts()
    for size in range(1, 500):
        body = bytearray(safetensors.save({"x": torch.zeros(size)}))
        known.learn(body, safetensors.load(bytes(body)))
    assert len(known._known) <= layouts._MOST
    long = bytearray(safetensors.save({f"input{number}": torch.zeros(1) for number in range(200)}))
    known.learn(long, safetensors.load(bytes(long)))
    assert known.read(long) is None


def test_a_layout_that_the_model_refuses_is_refused_every_time(handler: Handler) -> None:
    body = safetensors.save({"x": torch.zeros(1, 5)})
    for _ in range(2):
        with pytest.raises(BadRequest, match="expected x=float32"):
            decode(handler, body)
    good = safetensors.save({"x": torch.ones(1, 4)})
    for _ in range(2):
        assert decode(handler, good).inputs["x"].tolist() == [[1.0] * 4]


def test_answers_are_files_that_the_library_reads_the_first_time_and_later() -> None:
    for value in (1.0, 2.0):
        tensors = {
            "logits": torch.full((2, 3), value),
            "mask": torch.tensor([True, False]),
            "index": torch.tensor([int(value)]),
            "turned": torch.arange(6.0).reshape(2, 3).t() * value,
            "none": torch.zeros(0, 4),
            "loss": torch.tensor(value),
        }
        read = safetensors.load(layouts.write(tensors))
        assert {name: tensor.tolist() for name, tensor in read.items()} == {
            name: tensor.tolist() for name, tensor in tensors.items()
        }
