from __future__ import annotations

from typing import Any

import pytest

from artifacts.errors import BadRequest
from artifacts.specs import TensorSpec, nested, padded, parse_pads, parse_specs


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


def test_a_name_may_be_a_path_into_an_argument() -> None:
    specs = parse_specs(
        ("batch.pixels=float32[1]", "batch.front-left.0=bool[2]", "shift=int64[]", "pair.0=int8[3]")
    )
    names = ["batch.pixels", "batch.front-left.0", "shift", "pair.0"]
    assert [spec.name for spec in specs] == names
    assert [TensorSpec.from_document(spec.as_document()) for spec in specs] == list(specs)
    assert nested(specs) == {
        "batch": {"pixels": specs[0], "front-left": {"0": specs[1]}},
        "shift": specs[2],
        "pair": {"0": specs[3]},
    }
    assert parse_pads(["batch.front-left.0=1"]) == {"batch.front-left.0": 1.0}


@pytest.mark.parametrize(
    "name",
    [
        "batch.",
        ".pixels",
        "batch..pixels",
        "0.batch",
        "batch.a b",
        "batch[0]",
        "batch.x/y",
        "a" * 101,
        "a" + ".b" * 16,
    ],
)
def test_a_path_that_cannot_be_is_a_bad_request(name: str) -> None:
    with pytest.raises(BadRequest, match="is not an input SPEC") as refused:
        parse_specs((f"{name}=float32[1]",))
    assert "batch.mask or pair.0" in refused.value.hint
    with pytest.raises(BadRequest, match="'name' of the tensor spec"):
        TensorSpec.from_document(TensorSpec(name=name, dtype="bool", shape=()).as_document())


@pytest.mark.parametrize("names", [("batch", "batch.x"), ("batch.x", "batch"), ("b.x.y", "b.z", "b.x")])
def test_a_name_is_a_tensor_or_leads_to_some_but_not_both(names: tuple[str, ...]) -> None:
    with pytest.raises(BadRequest, match=r"'(batch|b\.x)' is a tensor by one SPEC, and holds") as refused:
        parse_specs(tuple(f"{name}=float32[1]" for name in names))
    assert refused.value.hint


def test_a_dimension_may_be_a_range_with_powers_of_two_as_buckets() -> None:
    spec = TensorSpec.parse("input_ids=int64[1..8,16..100]:0..30522")
    assert spec.shape == (8, 100)
    assert [(index, axis.kind.value, axis.low, axis.buckets) for index, axis in spec.axes] == [
        (0, "batch", 1, (1, 2, 4, 8)),
        (1, "length", 16, (16, 32, 64, 100)),
    ]
    assert str(spec) == "input_ids=int64[1..8,16..100]"
    assert TensorSpec.from_document(spec.as_document()) == spec


def test_short_lengths_share_a_program() -> None:
    assert TensorSpec.parse("float32[1,1..64]").axes[0][1].buckets == (16, 32, 64)
    assert TensorSpec.parse("float32[1,40..64]").axes[0][1].buckets == (64,)
    assert TensorSpec.parse("float32[3..3,9..9]") == TensorSpec.parse("float32[3,9]")


def test_buckets_may_be_named_and_take_every_size_below() -> None:
    ((dimension, axis),) = TensorSpec.parse("int64[1, 128|32|64]").axes
    assert (dimension, axis.low, axis.buckets) == (1, 1, (32, 64, 128))
    assert [axis.bucket(size) for size in (1, 32, 33, 128)] == [32, 32, 64, 128]
    with pytest.raises(BadRequest, match=r"length is 129; this artifact takes 1\.\.128"):
        axis.bucket(129)


def test_a_spec_of_fixed_sizes_has_the_members_it_always_had() -> None:
    assert set(TensorSpec.parse("float32[1]").as_document()) == {"name", "dtype", "shape", "low", "high"}


@pytest.mark.parametrize(
    "text",
    [
        "int64[1,8..4]",
        "int64[1,0..4]",
        "int64[1,0|4]",
        "int64[1,4|]",
        "int64[1,4..]",
        "int64[1,1...4]",
        "int64[1,1|2|3|4|5|6|7|8|9|10|11|12|13|14|15|16|17]",
        "float32[1..100000,100000]",
    ],
)
def test_sizes_that_cannot_be_are_a_bad_request(text: str) -> None:
    with pytest.raises(BadRequest):
        TensorSpec.parse(text)


def test_all_inputs_have_the_same_batch_and_programs_are_limited() -> None:
    with pytest.raises(BadRequest, match="but b is b=float32"):
        parse_specs(("a=float32[1..8,3]", "b=float32[1,3]"))
    with pytest.raises(BadRequest, match="25 programs"):
        parse_specs(("a=float32[1|2|3|4|5,1|2|3|4|5]",))


def test_padding_values_belong_to_inputs() -> None:
    assert parse_pads(["ids=1", "x=-0.5"]) == {"ids": 1.0, "x": -0.5}
    specs = padded(parse_specs(("ids=int64[1,4|8]", "mask=int64[1,4|8]")), {"ids": 1.0})
    assert [spec.pad for spec in specs] == [1.0, 0.0]
    for text in ("ids", "ids=", "=1", "ids=one"):
        with pytest.raises(BadRequest, match="padding value"):
            parse_pads([text])


@pytest.mark.parametrize(
    "change",
    [
        {"axes": [{"dimension": 5, "kind": "length", "low": 1, "buckets": [8]}]},
        {"axes": [{}]},
        {"axes": [3]},
        {"axes": [{"dimension": 1, "kind": "width", "low": 1, "buckets": [8]}]},
        {"axes": [{"dimension": 1, "kind": "length", "low": 1, "buckets": [8, 4]}]},
        {"pad": "x"},
    ],
)
def test_a_document_of_impossible_axes_is_refused(change: dict[str, Any]) -> None:
    document = TensorSpec.parse("int64[1,4|8]").as_document()
    with pytest.raises(BadRequest):
        TensorSpec.from_document(document | change)
