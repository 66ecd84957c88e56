"""Cutting an archive and putting it together again is the identity; nothing else is put together."""

from __future__ import annotations

import contextlib
import hashlib
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

from artifacts.delta import difference
from artifacts.errors import ArtifactRefused, ServeFailed
from artifacts.recipe import PIECE_BYTES, Piece, Recipe, assemble, base_key, delta, packed, unpacked
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


def recipe_of(bucket: Bucket, key: str) -> Recipe:
    return Recipe.parse(unpacked(bucket.objects[key], bucket.objects.__getitem__))


def read(data: bytes) -> Recipe:
    """Read a recipe that is no delta."""
    return Recipe.parse(unpacked(data, no_base))


def no_base(key: str) -> bytes:
    raise AssertionError(key)


def fetched(bucket: Bucket, directory: Path, key: str = "artifacts/models/d.recipe") -> Recipe:
    """What a host has before it assembles: the recipe, and the pieces it names."""
    recipe = recipe_of(bucket, key)
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


def safetensors_of(header: bytes) -> bytes:
    file = len(header).to_bytes(8, "little") + header + noise(95_000)
    return zipped({"golden.safetensors": file, "b": file})


SHAPES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "no zip": lambda: noise(100_000),
    "larger than a piece": lambda: noise(PIECE_BYTES + 1),
    "zip in zip": lambda: zipped(
        {"manifest.json": b"{}", "program.pt": zipped({"a": noise(70_000), "b": b""})}
    ),
    "compressed members": lambda: zipped({"a": b"x" * 200_000, "b": b"y"}, zipfile.ZIP_DEFLATED),
    "something before the zip": lambda: noise(80_000) + zipped({"a": noise(10)}),
    "much before the zip": lambda: noise(1 << 20) + zipped({"a": noise(10)}),
    "something after the zip": lambda: zipped({"a": noise(10)}) + b"tail",
    "a zip that is cut off": lambda: zipped({"a": noise(90_000), "b": noise(90_000)})[:-30],
    "a zip whose directory lies": lambda: zipped({"a": noise(1000)}).replace(b"PK\x03\x04", b"PK\x03\x05"),
    "tensors": lambda: safetensors_of(b'{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,90000]}}'),
    "tensors that lie": lambda: safetensors_of(b'{"a":{"data_offsets":[7,-1]},"b":{"data_offsets":[0,1e9]}}'),
    "tensors of another kind": lambda: safetensors_of(b'{"a":1,"b":{"data_offsets":"ab"}}'),
    "a list of tensors": lambda: safetensors_of(b"[1]"),
    "a header that is cut off": lambda: safetensors_of(b"{}")[:9],
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
    assert read(packed(recipe.document())) == recipe
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
    recipe = read(edited({}))
    assert (recipe.size, recipe.small) == (5, (Piece("1" * 64, 5),))
    framed = read(edited({"layout": [0, 3, 1, 5]}, ONE + b"PK\n"))
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
        read(data)
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
    assert read(packed(recipe.document())) == recipe


@given(cut=st.integers(0, 400), flip=st.integers(1, 255))
def test_a_document_with_another_byte_is_refused_or_is_another(cut: int, flip: int) -> None:
    at = cut % len(BASE)
    changed = BASE[:at] + bytes([BASE[at] ^ flip]) + BASE[at + 1 :]
    with contextlib.suppress(ArtifactRefused):
        assert Recipe.parse(changed) != Recipe.parse(BASE)


@given(cut=st.integers(0, 400), flip=st.integers(1, 255))
def test_an_object_with_another_byte_is_refused_or_makes_a_document(cut: int, flip: int) -> None:
    """Deflate may say the same in two ways; whoever asked compares the document's SHA-256."""
    for data in (packed(BASE), deltaed()):
        at = cut % len(data)
        changed = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
        with contextlib.suppress(ArtifactRefused):
            assert unpacked(changed, lambda key: BASES.get(key, b"")) == BASE


def test_a_piece_costs_a_recipe_little_more_than_its_digest() -> None:
    pieces = tuple(Piece(noise(32, number).hex(), 70_000) for number in range(1000))
    layout = ((2, 70_000),) * 1000
    recipe = Recipe(prefix="artifacts/pieces/net/", frame=b"", small=(), large=pieces, layout=layout)
    assert len(packed(recipe.document())) < 33 * 1000


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


def document(*names: bytes) -> bytes:
    """A recipe's document, of small pieces of five bytes."""
    pieces = tuple(Piece(name.hex(), 5) for name in names)
    layout = ((1, 5 * len(names)), (0, 100))
    whole = Recipe(prefix=PREFIX, frame=noise(100), small=pieces, large=(), layout=layout)
    return whole.document()


PREFIX = "artifacts/pieces/net/"
BASE = document(ONE, TWO)
BASES = {base_key(PREFIX, hashlib.sha256(BASE).hexdigest()): packed(BASE)}


ALL = difference(BASE, BASE)


def deltaed(
    told: bytes = ALL, line: str = "amazonei-delta/1 net/\n", base: bytes = hashlib.sha256(BASE).digest()
) -> bytes:
    """The object of a delta that keeps all of the base, or of something else."""
    return zlib.compress(line.encode() + base + told)


def test_a_delta_makes_the_recipe_that_it_was_made_of() -> None:
    other = document(ONE, noise(32))
    short = delta(other, BASE, PREFIX)
    assert unpacked(short, BASES.__getitem__) == other
    assert len(short) < len(packed(other))
    assert unpacked(deltaed(), BASES.__getitem__) == BASE


@pytest.mark.parametrize(
    "data",
    [
        deltaed(line="amazonei-delta/2 net/\n"),
        deltaed(line="amazonei-delta/1 ../\n"),
        deltaed(line="amazonei-delta/1 net/../models/\n"),
        deltaed(line="amazonei-delta/1 net\n"),
        deltaed(line="amazonei-delta/1 net/ \n"),
        deltaed(b"", base=b"short"),
        deltaed(b""),
        deltaed(bytes([1, 0, 1]) + ALL[3:]),
        deltaed(ALL[:-1]),
        deltaed(ALL + b"more"),
        deltaed(bytes([0])),
        deltaed(b"\x80\x80\x40" + bytes([0, 0, 0x80, 1]) * (1 << 20)),
        deltaed(b"\x80\x80\x40" + bytes(3 << 20)),
        deltaed(bytes(5 << 20)),
        deltaed()[:-3],
        deltaed() + b"more",
    ],
)
def test_what_is_no_delta_is_refused(data: bytes) -> None:
    with pytest.raises(ArtifactRefused) as refused:
        Recipe.parse(unpacked(data, lambda key: BASES.get(key, b"")))
    assert "--resend" in refused.value.hint


def test_a_base_that_is_too_large_is_refused_before_anything_is_made_of_it() -> None:
    with pytest.raises(ArtifactRefused, match="larger than 4 MiB"):
        unpacked(deltaed(), lambda _: packed(bytes(5 << 20)))


def test_a_delta_of_a_delta_is_no_recipe() -> None:
    first = deltaed()
    name = hashlib.sha256(zlib.decompress(first)).digest()
    bases = {base_key(PREFIX, name.hex()): first}
    whole = zlib.decompress(first)
    chained = deltaed(difference(whole, whole), base=name)
    with pytest.raises(ArtifactRefused):
        Recipe.parse(unpacked(chained, bases.__getitem__))


def test_pieces_in_another_order_are_another_recipe() -> None:
    one = read(edited({"small": [5, 5], "layout": [1, 10]}, ONE + TWO))
    other = replace(one, small=one.small[::-1])
    assert one.document() != other.document()
