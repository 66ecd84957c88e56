from __future__ import annotations

import zlib
from contextlib import closing, nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from artifacts.archive import open_verified
from artifacts.errors import ArtifactRefused
from provisioning.cli.keeping import bring_artifacts_home
from provisioning.errors import AwsUnreachable
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
    kept = bring_home(world.bucket, found, tmp_path / "kept", world.said.append).kept
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
    brought = bring_home(world.bucket, found, tmp_path / "kept", world.said.append)
    assert {path.name: path.read_bytes() for path in brought.kept} == sent


def test_one_that_is_not_what_was_shipped_any_more_is_not_kept(world: World, tmp_path: Path) -> None:
    found = shipped(world.bucket, ["box"])
    piece = next(key for key in world.bucket.objects if key.startswith("artifacts/pieces/"))
    world.bucket.objects[piece] = b"x" * len(world.bucket.objects[piece])
    brought = bring_home(world.bucket, found, tmp_path / "kept", world.said.append)
    ((damaged, error),) = brought.damaged
    assert "other bytes than its name says" in error.message
    assert (tmp_path / "kept").is_dir()
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [path.name for path in brought.kept]
    (kept,) = brought.kept
    with closing(open_verified(kept)) as contents:
        assert {contents.manifest.digest, damaged.stem} == {each.stem for each in found}


def test_one_whose_piece_is_gone_hinders_no_other(world: World, tmp_path: Path) -> None:
    found = shipped(world.bucket, ["box"])
    del world.bucket.objects[next(key for key in world.bucket.objects if key.startswith("artifacts/pieces/"))]
    brought = bring_home(world.bucket, found, tmp_path / "kept", world.said.append)
    assert (len(brought.kept), len(brought.damaged)) == (1, 1)


def test_damaged_ones_are_named_and_the_others_kept_before_anything_is_removed(
    world: World, tmp_path: Path
) -> None:
    del world.bucket.objects[next(key for key in world.bucket.objects if key.startswith("artifacts/pieces/"))]
    settings = SimpleNamespace(work_dir=tmp_path, command=lambda words: f"amazonei {words} --name net")
    console = SimpleNamespace(
        activity=lambda _: nullcontext(), detail=world.said.append, say=world.said.append
    )
    context: Any = SimpleNamespace(settings=settings, console=console)
    bucket: Any = SimpleNamespace(s3=world.bucket)
    observed: Any = SimpleNamespace(stacks=(), loose_buckets=("box",))
    with pytest.raises(ArtifactRefused, match="Nothing was removed: 1 of 2 artifacts") as refused:
        bring_artifacts_home(context, bucket, observed)
    assert "amazonei teardown --yes --name net" in refused.value.hint
    (kept,) = (tmp_path / "kept").iterdir()
    assert world.said[-1] == f"kept: {kept}"


def test_a_bucket_that_cannot_be_reached_is_no_damaged_artifact(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: str) -> bytes:
        raise AwsUnreachable("The network is gone.")

    found = shipped(world.bucket, ["box"])
    monkeypatch.setattr(world.bucket, "get_object", unreachable)
    with pytest.raises(AwsUnreachable):
        bring_home(world.bucket, found, tmp_path / "kept", world.said.append)


def test_a_signed_artifacts_file_says_so_and_an_empty_bucket_has_none(world: World) -> None:
    assert Shipped(bucket="box", key="artifacts/models/abc-0123.recipe").stem == "abc-0123"
    assert shipped(world.bucket, []) == ()
