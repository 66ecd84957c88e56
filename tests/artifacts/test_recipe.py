"""Cutting an archive and putting it together again is the identity; nothing else is put together."""

from __future__ import annotations

import contextlib
import io
import json
import random
import zipfile
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artifacts.errors import ArtifactRefused, ServeFailed
from artifacts.recipe import PIECE_BYTES, Piece, Recipe, assemble
from provisioning.uploading import Upload, store
from tests.provisioning.declared import StillClock
from tests.provisioning.operated import Account, Bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def upload(bucket: Bucket, key: str = "artifacts/models/d.recipe", scope: str = "net") -> Upload:
    return Upload(
        account=Account(bucket), bucket="box", key=key, scope=scope, clock=StillClock(), say=lambda _: None
    )


def zipped(members: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, compression)
    return buffer.getvalue()


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)  # noqa: S311 - the same bytes each time


def fetched(bucket: Bucket, directory: Path, key: str = "artifacts/models/d.recipe") -> Recipe:
    """What a host has before it assembles: the recipe, and the pieces it names."""
    recipe = Recipe.decode(bucket.objects[key])
    directory.mkdir(exist_ok=True)
    for name in recipe.pieces:
        (directory / name).write_bytes(bucket.objects[recipe.prefix + name])
    return recipe


def through_the_bucket(data: bytes, directory: Path) -> bytes:
    directory.mkdir(exist_ok=True)
    (directory / "net.aei").write_bytes(data)
    bucket = Bucket()
    store(upload(bucket), directory / "net.aei")
    recipe = fetched(bucket, directory / "pieces")
    (directory / "whole").unlink(missing_ok=True)
    assemble(recipe, directory / "pieces", directory / "whole")
    return (directory / "whole").read_bytes()


SHAPES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "no zip": lambda: noise(100_000),
    "larger than a piece": lambda: noise(PIECE_BYTES + 1),
    "zip in zip": lambda: zipped(
        {"manifest.json": b"{}", "program.pt": zipped({"a": noise(70_000), "b": b""})}
    ),
    "compressed members": lambda: zipped({"a": b"x" * 200_000, "b": b"y"}, zipfile.ZIP_DEFLATED),
    "something before the zip": lambda: noise(80_000) + zipped({"a": noise(10)}),
    "something after the zip": lambda: zipped({"a": noise(10)}) + b"tail",
    "a zip that is cut off": lambda: zipped({"a": noise(90_000), "b": noise(90_000)})[:-30],
    "a zip whose directory lies": lambda: zipped({"a": noise(1000)}).replace(b"PK\x03\x04", b"PK\x03\x05"),
    "two members in one place": lambda: zipped({"a": noise(1000)}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_any_file_comes_back_as_it_was(shape: str, tmp_path: Path) -> None:
    data = SHAPES[shape]()
    assert through_the_bucket(data, tmp_path) == data


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    sizes=st.lists(st.sampled_from([0, 1, 300, 65_535, 65_536, 70_000]), max_size=12), nested=st.booleans()
)
def test_any_zip_comes_back_as_it_was(sizes: list[int], nested: bool, tmp_path: Path) -> None:
    inner = zipped({f"data/{index}": noise(size, index) for index, size in enumerate(sizes)})
    data = zipped({"program.pt": inner, "golden": b"g"}) if nested else inner
    assert through_the_bucket(data, tmp_path) == data


def test_a_recipe_survives_its_own_bytes() -> None:
    recipe = Recipe(
        prefix="artifacts/pieces/net/",
        frame=b"abc",
        small=(Piece("1" * 64, 5),),
        large=(Piece("2" * 64, 9), Piece("1" * 64, 1)),
        layout=((0, 1), (1, 5), (0, 2), (2, 10)),
    )
    assert Recipe.decode(recipe.encode()) == recipe
    assert recipe.size == 18


ONE, TWO = b"\x11" * 32, b"\x22" * 32


def edited(change: Mapping[str, Any], rest: bytes = ONE, between: bytes = b"\n") -> bytes:
    """The bytes of a recipe of one small piece, with another document or something else after it."""
    document = {
        "format": "amazonei-recipe/2",
        "prefix": "artifacts/pieces/net/",
        "small": [5],
        "large": [],
        "layout": [1, 5],
    }
    return zlib.compress(json.dumps({**document, **change}).encode() + between + rest)


# What the first format was; its recipes are written again by the next ship.
BEFORE = {"format": "amazonei-recipe/1", "frame": "", "small": [["1" * 64, 5]]}


def test_the_unedited_document_is_a_recipe() -> None:
    recipe = Recipe.decode(edited({}))
    assert (recipe.size, recipe.small) == (5, (Piece("1" * 64, 5),))
    framed = Recipe.decode(edited({"layout": [0, 3, 1, 5]}, ONE + b"PK\n"))
    assert (framed.size, framed.frame) == (8, b"PK\n")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        edited({})[:-3],
        edited({}) + b"more",
        zlib.compress(bytes(65 << 20)),
        zlib.compress(b"{" * 100_000),
        edited(BEFORE, b"", b""),
        edited({"format": "amazonei-recipe/3"}),
        edited({"extra": 1}),
        edited({"prefix": "artifacts/pieces/../models/"}),
        edited({"prefix": "results/"}),
        edited({}, b""),
        edited({}, ONE[:-1]),
        edited({}, ONE + b"a frame of which the layout does not know"),
        edited({}, ONE, b""),
        edited({}, b"../../etc/passwd"),
        edited({"layout": [0, 3, 1, 5]}, ONE + b"PK"),
        edited({"small": [5, 5], "layout": [1, 10]}),
        edited({"small": [5] * 1_000_000}),
        edited({"small": [0]}),
        edited({"small": [-5]}),
        edited({"small": [True], "layout": [1, 1]}),
        edited({"small": [5.0]}),
        edited({"small": [["1" * 64, 5]]}),
        edited({"small": 5}),
        edited({"small": [PIECE_BYTES + 1], "layout": [1, PIECE_BYTES + 1]}),
        edited({"layout": [1, 4]}),
        edited({"layout": [1]}),
        edited({"layout": [3, 5]}),
        edited({"layout": [1, -5]}),
        edited({"layout": [2, 5]}),
        edited({"layout": [True, 5]}),
    ],
)
def test_what_is_no_recipe_is_refused(data: bytes) -> None:
    with pytest.raises(ArtifactRefused) as refused:
        Recipe.decode(data)
    assert "--resend" in refused.value.hint


@given(
    frame=st.binary(max_size=100),
    sizes=st.lists(st.integers(1, PIECE_BYTES), max_size=9),
    split=st.integers(0, 9),
    seed=st.integers(0, 99),
)
def test_any_recipe_survives_its_own_bytes(frame: bytes, sizes: list[int], split: int, seed: int) -> None:
    pieces = [Piece(noise(32, seed + index).hex(), size) for index, size in enumerate(sizes)]
    small, large = tuple(pieces[:split]), tuple(pieces[split:])
    layout = ((0, len(frame)), *((1, piece.size) for piece in small), *((2, piece.size) for piece in large))
    recipe = Recipe(prefix="artifacts/pieces/net/", frame=frame, small=small, large=large, layout=layout)
    assert Recipe.decode(recipe.encode()) == recipe


@given(cut=st.integers(0, 200), flip=st.integers(1, 255))
def test_a_recipe_with_another_byte_is_refused_or_is_another(cut: int, flip: int) -> None:
    data = edited({"layout": [0, 3, 1, 5]}, ONE + b"PK\n")
    at = cut % len(data)
    changed = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
    with contextlib.suppress(ArtifactRefused):
        assert Recipe.decode(changed) != Recipe.decode(data)


def test_a_piece_costs_a_recipe_little_more_than_its_digest() -> None:
    pieces = tuple(Piece(noise(32, number).hex(), 70_000) for number in range(1000))
    layout = ((2, 70_000),) * 1000
    recipe = Recipe(prefix="artifacts/pieces/net/", frame=b"", small=(), large=pieces, layout=layout)
    assert len(recipe.encode()) < 33 * 1000


def test_a_piece_that_is_missing_or_other_is_refused_before_it_is_used(tmp_path: Path) -> None:
    (tmp_path / "net.aei").write_bytes(zipped({"a": noise(70_000, 1), "b": noise(70_000, 2)}))
    bucket = Bucket()
    store(upload(bucket), tmp_path / "net.aei")
    recipe = fetched(bucket, tmp_path / "pieces")
    victim = tmp_path / "pieces" / recipe.large[1].sha256
    victim.write_bytes(bytes(70_000))
    with pytest.raises(ServeFailed, match="has other bytes than its name says") as refused:
        assemble(recipe, tmp_path / "pieces", tmp_path / "whole")
    assert "--resend" in refused.value.hint
    assert (tmp_path / "whole").stat().st_size < 70_000 + 1000  # nothing of it was written
    victim.unlink()
    with pytest.raises(ServeFailed, match="is not in the bucket"):
        assemble(recipe, tmp_path / "pieces", tmp_path / "again")


def test_pieces_in_another_order_are_another_recipe() -> None:
    one = Recipe.decode(edited({"small": [5, 5], "layout": [1, 10]}, ONE + TWO))
    other = replace(one, small=one.small[::-1])
    assert one.encode() != other.encode()
