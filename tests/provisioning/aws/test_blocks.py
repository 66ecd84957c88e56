"""A body of several places of a file, read in blocks and from the start again."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from artifacts.errors import ArtifactRefused
from provisioning.aws.blocks import BLOCK_BYTES, Blocks
from tests.artifacts.test_recipe import noise

if TYPE_CHECKING:
    from pathlib import Path

DATA = noise(3 * BLOCK_BYTES)
EXTENTS = [(10, 5), (0, 3), (100, 2 * BLOCK_BYTES + 7), (3, 0), (50, 1)]
WANTED = b"".join(DATA[offset : offset + size] for offset, size in EXTENTS)


@pytest.fixture
def file(tmp_path: Path) -> int:
    path = tmp_path / "data"
    path.write_bytes(DATA)
    return os.open(path, os.O_RDONLY)


def test_extents_are_one_body_in_their_order(file: int) -> None:
    body = Blocks(file, EXTENTS)
    assert body.read() == WANTED
    assert len(body) == len(WANTED)
    assert body.read() == b""


def test_a_block_is_never_larger_than_the_memory_for_it_whatever_is_asked_for(file: int) -> None:
    sizes = [len(block) for block in Blocks(file, EXTENTS)]
    assert max(sizes) == BLOCK_BYTES
    assert len(Blocks(file, [(0, 40)]).read(16)) == 40


def test_a_body_is_sent_again_from_where_it_is_set(file: int) -> None:
    body = Blocks(file, EXTENTS)
    body.read(1)
    body.read(1)
    assert body.tell() == 8
    for start in (0, 4, 8, BLOCK_BYTES + 9, len(WANTED)):
        assert body.seek(start) == start
        assert body.read() == WANTED[start:]
    assert body.seek(0, os.SEEK_END) == len(WANTED)


def test_what_was_read_is_told_also_when_it_is_read_again(file: int) -> None:
    told: list[int] = []
    body = Blocks(file, EXTENTS, told.append)
    body.read()
    body.seek(0)
    body.read()
    assert sum(told) == 2 * len(WANTED)


def test_a_file_that_became_shorter_is_refused(file: int) -> None:
    body = Blocks(file, [(len(DATA) - 5, 10)])
    with pytest.raises(ArtifactRefused, match="cut off"):
        body.read()
