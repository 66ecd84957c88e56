"""What is larger in the bucket than it was said to be does not fill a host's disk."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from artifacts.errors import ServeFailed
from artifacts.serve.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.artifacts.serve.conftest import Machine

MEBIBYTE = 1 << 20


@pytest.fixture
def machine(new_machine: Callable[..., Machine], monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A host whose `aws` is the one that this process finds."""
    machine = new_machine()
    monkeypatch.setenv("PATH", f"{machine.root / 'bin'}:/usr/bin:/bin")
    return machine


def test_no_object_is_written_beyond_the_largest_that_was_asked_for(machine: Machine, tmp_path: Path) -> None:
    machine.store("pieces/right", bytes(3 * MEBIBYTE))
    machine.store("pieces/zlarge", bytes(40 * MEBIBYTE))
    with pytest.raises(ServeFailed, match="larger than the 3145728 bytes") as caught:
        Storage("bucket").fetch_all("pieces/", ["right", "zlarge"], tmp_path, 3 * MEBIBYTE)
    assert "--resend" in caught.value.hint
    assert {path.stat().st_size for path in tmp_path.glob("*") if path.is_file()} == {3 * MEBIBYTE}


def test_objects_of_the_size_that_was_asked_for_come_whole(machine: Machine, tmp_path: Path) -> None:
    machine.store("pieces/right", bytes(3 * MEBIBYTE))
    Storage("bucket").fetch_all("pieces/", ["right"], tmp_path, 3 * MEBIBYTE)
    assert (tmp_path / "right").stat().st_size == 3 * MEBIBYTE


def test_one_byte_more_than_was_said_is_refused_and_removed(machine: Machine, tmp_path: Path) -> None:
    body = bytes(2000)
    machine.store("wheel", body)
    digest = hashlib.sha256(body).hexdigest()
    Storage("bucket").fetch_verified("wheel", tmp_path / "whole", digest, 2000)
    assert (tmp_path / "whole").read_bytes() == body
    with pytest.raises(ServeFailed, match="wheel is larger than 1999 bytes"):
        Storage("bucket").fetch_verified("wheel", tmp_path / "more", digest, 1999)
    assert not (tmp_path / "more").exists()
