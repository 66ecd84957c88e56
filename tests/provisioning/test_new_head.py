"""A BERT that is trained anew in its head sends the head: counted with programs that PyTorch wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from provisioning.uploading import store
from tests.artifacts.manifests import packed
from tests.artifacts.test_recipe import upload
from tests.provisioning.heads import changed_bytes, write_program
from tests.provisioning.operated import Bucket

if TYPE_CHECKING:
    from pathlib import Path

# Layers, labels, and whether the program is frozen.
SMALL = [(2, 1, False), (2, 2, True)]
FULL = [(12, labels, frozen) for labels in (1, 2) for frozen in (False, True)]


def archive(folder: Path, layers: int, labels: int, head: int, *, frozen: bool) -> Path:
    """The archive of a program with a golden request."""
    folder.mkdir()
    write_program(folder, layers, labels, head, frozen=frozen)
    files = ("golden.safetensors", "program.pt")
    return packed(folder, {name: (folder / name).read_bytes() for name in files})[0]


@pytest.mark.parametrize(
    ("layers", "labels", "frozen"),
    [*SMALL, *(pytest.param(*each, marks=pytest.mark.nightly) for each in FULL)],
)
def test_a_new_head_sends_its_own_bytes_and_a_twentieth_at_most(
    layers: int, labels: int, frozen: bool, tmp_path: Path
) -> None:
    one, other = (archive(tmp_path / f"{head}", layers, labels, head, frozen=frozen) for head in (1, 2))
    changed = changed_bytes(one.read_bytes(), other.read_bytes())
    bucket = Bucket()
    store(upload(bucket), one)
    bucket.requests.clear()
    stored = store(upload(bucket, "artifacts/models/e.recipe"), other)
    assert labels * 769 * 4 < changed < labels * 769 * 4 + 250, "the head, and what names and checks it"
    assert stored.bytes <= 1.05 * changed
    assert [verb for verb, _, _ in bucket.requests] == ["HEAD", "LIST", "PUT", "GET", "PUT"]
