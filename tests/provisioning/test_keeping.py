from __future__ import annotations

import zlib
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from artifacts.archive import open_verified
from artifacts.errors import AmazoneiError
from provisioning.keeping import Shipped, bring_home, shipped
from provisioning.shipping import open_package, upload
from tests.artifacts.manifests import packed
from tests.provisioning.operated import World

if TYPE_CHECKING:
    from pathlib import Path


def artifact(folder: Path, content: bytes) -> Path:
    """A packed artifact whose program is these bytes."""
    return packed(folder, {"program.pt": content}, name="net")[0]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A bucket that two versions were shipped to, and which holds other things too."""
    world = World()
    for name in ("a", "b"):
        upload(world.calls, open_package(artifact(tmp_path / name, name.encode() * 200_000)))
    world.bucket.put_object("box", "artifacts/requests/x.json", b"{}")
    return world


def test_every_version_comes_home_byte_for_byte(world: World, tmp_path: Path) -> None:
    found = shipped(world.bucket, ["box"])
    kept = bring_home(world.bucket, found, tmp_path / "kept", world.said.append)
    sent = {path.name: path.read_bytes() for name in "ab" for path in (tmp_path / name).glob("*.aei")}
    assert {path.name: path.read_bytes() for path in kept} == sent
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == sorted(sent)
    with closing(open_verified(kept[0])) as contents:
        assert contents.manifest.name == "net"


def test_a_version_that_is_told_by_what_differs_from_another_comes_home(tmp_path: Path) -> None:
    world, sent = World(), dict[str, bytes]()
    for number in range(2):
        files = {"program.pt": b"x" * 200_000, "golden.safetensors": bytes([number]) * 300}
        path = packed(tmp_path / str(number), files, name="net")[0]
        upload(world.calls, open_package(path))
        sent[path.name] = path.read_bytes()
    found = shipped(world.bucket, ["box"])
    deltas = [
        zlib.decompress(world.bucket.objects[each.key]).startswith(b"amazonei-delta/") for each in found
    ]
    assert sorted(deltas) == [False, True]
    kept = bring_home(world.bucket, found, tmp_path / "kept", world.said.append)
    assert {path.name: path.read_bytes() for path in kept} == sent


def test_one_that_is_not_what_was_shipped_any_more_is_not_kept(world: World, tmp_path: Path) -> None:
    found = shipped(world.bucket, ["box"])
    piece = next(key for key in world.bucket.objects if key.startswith("artifacts/pieces/"))
    world.bucket.objects[piece] = b"x" * len(world.bucket.objects[piece])
    with pytest.raises(AmazoneiError, match="other bytes than its name says"):
        bring_home(world.bucket, found, tmp_path / "kept", world.said.append)
    assert not [path for path in (tmp_path / "kept").iterdir() if path.name.startswith(".")]


def test_a_signed_artifacts_file_says_so_and_an_empty_bucket_has_none(world: World) -> None:
    assert Shipped(bucket="box", key="artifacts/models/abc-0123.recipe").stem == "abc-0123"
    assert shipped(world.bucket, []) == ()
