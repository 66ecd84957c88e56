"""What a difference says of two byte strings makes one of the other, and is short where little differs."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts.delta import BLOCK_BYTES, difference, patched
from tests.artifacts.test_recipe import noise

MOST = 1 << 20
OLD = noise(50_000)


@given(base=st.binary(max_size=200), target=st.binary(max_size=200))
def test_any_bytes_are_made_of_any_others(base: bytes, target: bytes) -> None:
    assert patched(base, difference(base, target), MOST) == target


@given(
    base=st.binary(min_size=40, max_size=400),
    edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 50), st.binary(max_size=50)), max_size=5),
    turn=st.integers(0, 400),
)
def test_any_edits_are_made_again(base: bytes, edits: list[tuple[int, int, bytes]], turn: int) -> None:
    target = base[turn:] + base[:turn]
    for at, gone, new in edits:
        target = target[:at] + new + target[at + gone :]
    assert patched(base, difference(base, target), MOST) == target


def test_the_same_again_costs_a_run() -> None:
    assert difference(OLD, OLD) == bytes(
        [1, 0, 0, 0x80 | 50_000 & 0x7F, 0x80 | 50_000 >> 7 & 0x7F, 50_000 >> 14]
    )
    assert difference(b"", b"") == bytes([0])


def test_what_changed_in_place_costs_its_own_bytes_and_a_run() -> None:
    target = bytearray(OLD)
    places = range(100, 50_000, 5_000)
    for place in places:
        target[place : place + 32] = noise(32, place)
    told = difference(OLD, bytes(target))
    assert len(told) <= len(places) * (32 + 4) + 5
    assert patched(OLD, told, MOST) == target


@pytest.mark.parametrize("new", [b"", b"x", noise(1000, 1)])
def test_what_was_put_in_or_left_out_shifts_nothing_else(new: bytes) -> None:
    told = difference(OLD, OLD[:20_000] + new + OLD[21_000:])
    assert len(told) < len(new) + BLOCK_BYTES + 15


def test_what_changed_places_is_found() -> None:
    assert len(difference(OLD, OLD[30_000:] + OLD[:30_000])) < BLOCK_BYTES + 15


@pytest.mark.parametrize(
    ("base", "told"),
    [
        (b"abc", b""),
        (b"abc", bytes([1, 0, 0])),
        (b"abc", bytes([0x80])),
        (b"abc", bytes([1, 0, 0, 4])),
        (b"abc", bytes([1, 0, 1, 3])),
        (b"abc", bytes([1, 2, 0, 1]) + b"x"),
        (b"", bytes([1, 0, 0, 1])),
        (b"abc" * 14, bytes([2, *(0, 0, 42) * 2])),
        (b"abc", bytes([5, *(0, 0, 1) * 5])),
        (b"abc", bytes([0]) + b"x" * 65),
        (b"abc", bytes([0xFF] * 4 + [0x0F])),
        (b"abc", bytes([1, 0, *[0xFF] * 4, 0x0F, 1])),
        (b"abc", bytes([1, 0, *[0x80] * 20, 0, 1])),
    ],
)
def test_what_reaches_beyond_what_there_is_makes_nothing(base: bytes, told: bytes) -> None:
    with pytest.raises(ValueError, match=r"^it "):
        patched(base, told, 64)


@given(base=st.binary(max_size=30), told=st.binary(max_size=60))
def test_any_bytes_make_something_or_are_refused(base: bytes, told: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert len(patched(base, told, 64)) <= 64
