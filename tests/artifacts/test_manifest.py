from __future__ import annotations

import dataclasses

import pytest

from artifacts.errors import ArtifactRefused, BadRequest
from artifacts.manifest import FileDigest, Manifest, TensorSpec, Toolchain, parse_specs

MANIFEST = Manifest(
    name="m",
    target="c7i.xlarge",
    lane="trace",
    stand_in=False,
    program="torchscript",
    preparation="none",
    atol=1e-3,
    inputs=(TensorSpec(name="x", dtype="float32", shape=(1, 4)),),
    outputs=(TensorSpec(name="output", dtype="float32", shape=(1, 3)),),
    toolchain=Toolchain(torch="2.13.0", python="3.11", compiler="torchscript", compiler_version="2.13.0"),
    files=(FileDigest(path="program.pt", bytes=3, sha256="a" * 64),),
)


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


def test_a_manifest_survives_its_own_json() -> None:
    assert Manifest.from_json(MANIFEST.canonical()) == MANIFEST


@pytest.mark.parametrize(
    "change", [{"lane": "script"}, {"atol": 2e-3}, {"target": "inf2.xlarge"}, {"stand_in": True}]
)
def test_the_digest_changes_with_what_the_artifact_is(change: dict[str, object]) -> None:
    assert dataclasses.replace(MANIFEST, **change).digest != MANIFEST.digest  # type: ignore[arg-type]


def test_the_identity_is_fixed_for_all_time() -> None:
    assert MANIFEST.digest == "0d1eb00c6b2e4960f5fe96ebd245f0787ef15b0f0d396bebd14ec44da712adab"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"stand_in":false', b'"stand_in": false'),
        (b'"stand_in":false', b'"stand_in":0'),
        (b'"lane":"trace"', b'"lane":"trace","extra":1'),
        (b'"lane":"trace",', b""),
        (b"amazonei-artifact/2", b"amazonei-artifact/3"),
        (b'"program.pt"', b'"pro gram"'),
        (b'"bytes":3', b'"bytes":-3'),
        (b'"bytes":3', b'"bytes":true'),
        (b'"shape":[1,4]', b'"shape":[1,"4"]'),
    ],
)
def test_a_manifest_that_is_not_exactly_ours_is_refused(old: bytes, new: bytes) -> None:
    changed = MANIFEST.canonical().replace(old, new)
    assert changed != MANIFEST.canonical()
    with pytest.raises(ArtifactRefused):
        Manifest.from_json(changed)
