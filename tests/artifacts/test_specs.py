from __future__ import annotations

import pytest

from artifacts.errors import BadRequest
from artifacts.specs import TensorSpec, parse_specs


def test_a_spec_has_a_name_a_dtype_a_shape_and_a_range() -> None:
    spec = TensorSpec.parse("input_ids=int64[1,128]:0..30522")
    assert spec == TensorSpec(name="input_ids", dtype="int64", shape=(1, 128), low=0.0, high=30522.0)
    assert str(spec) == "input_ids=int64[1,128]"
    assert spec.bytes == 1024


def test_a_spec_may_leave_name_and_range_out() -> None:
    assert TensorSpec.parse("float32[1, 3,224,224]").shape == (1, 3, 224, 224)
    assert TensorSpec.parse("float32[2]:-1.5..1e-3").low == -1.5
    assert TensorSpec.parse("bool[]").shape == ()


def test_unnamed_inputs_are_named_by_position() -> None:
    names = [spec.name for spec in parse_specs(("float32[1]", "mask=bool[2]", "int64[3]"))]
    assert names == ["input0", "mask", "input2"]


@pytest.mark.parametrize(
    "text",
    [
        "float32",
        "float31[1]",
        "float32[0,3]",
        "float32[1,,3]",
        "float32[a]",
        "float32[-1]",
        "int64[1]:5..5",
        "int64[1]:0..0.5",
        "float32[1]:1..",
        "float32[100000,100000]",
        "=float32[1]",
        "x=float32[1]; rm -rf /",
    ],
)
def test_a_malformed_spec_is_a_bad_request(text: str) -> None:
    with pytest.raises(BadRequest):
        TensorSpec.parse(text)


def test_the_hint_for_a_malformed_spec_shows_one_that_works() -> None:
    with pytest.raises(BadRequest) as refused:
        TensorSpec.parse("nonsense")
    example = refused.value.hint.rsplit(" ", 1)[1].rstrip(".")
    assert TensorSpec.parse(example).name == "input_ids"


def test_two_inputs_cannot_share_a_name() -> None:
    with pytest.raises(BadRequest, match="'x'"):
        parse_specs(("x=float32[1]", "x=float32[2]"))
