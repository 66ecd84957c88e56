from __future__ import annotations

import dataclasses

import pytest

from artifacts.errors import ArtifactRefused
from artifacts.manifest import FileDigest, Manifest, Toolchain
from artifacts.specs import TensorSpec

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
