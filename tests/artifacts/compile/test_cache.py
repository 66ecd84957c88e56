from __future__ import annotations

import errno
import json
import os
import threading
from typing import TYPE_CHECKING

import pytest

from artifacts.compile.cache import Store, cache_directory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = "k" * 64


@pytest.fixture
def store(tmp_path: Path) -> Store:
    program = tmp_path / "made.pt"
    program.write_bytes(b"program")
    store = Store(tmp_path / "cache")
    store.keep(KEY, {"lane": "trace"}, {"program": program})
    return store


def test_what_was_kept_is_found(store: Store) -> None:
    entry = store.find(KEY)
    assert entry is not None
    assert entry.document == {"lane": "trace"}
    assert entry.files["program"].read_bytes() == b"program"
    assert store.find("other") is None


def _cut_the_program(entry: Path) -> None:
    (entry / "program").write_bytes(b"progra")


def _change_the_program(entry: Path) -> None:
    (entry / "program").write_bytes(b"Program")


def _lose_the_program(entry: Path) -> None:
    (entry / "program").unlink()


def _change_the_document(entry: Path) -> None:
    sealed = json.loads((entry / "entry.json").read_bytes())
    sealed["body"]["document"]["lane"] = "script"
    (entry / "entry.json").write_text(json.dumps(sealed), encoding="ascii")


def _cut_the_document(entry: Path) -> None:
    (entry / "entry.json").write_bytes((entry / "entry.json").read_bytes()[:-5])


@pytest.mark.parametrize(
    "damage",
    [_cut_the_program, _change_the_program, _lose_the_program, _change_the_document, _cut_the_document],
)
def test_a_corrupt_entry_is_a_miss_and_is_removed(damage: Callable[[Path], None], store: Store) -> None:
    entry = store.directory / "entries" / KEY
    damage(entry)
    assert store.find(KEY) is None
    assert not entry.exists()


def test_a_failed_keep_leaves_nothing(store: Store, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.keep("n" * 64, {}, {"program": tmp_path / "nowhere"})
    assert [path.name for path in (store.directory / "entries").iterdir()] == [KEY]


def test_who_waits_for_a_key_finds_what_the_holder_kept(tmp_path: Path) -> None:
    store, made = Store(tmp_path / "cache"), []
    ready = threading.Barrier(2)

    def work() -> None:
        ready.wait()
        with store.sole(KEY):
            if store.find(KEY) is None:
                made.append(1)
                store.keep(KEY, {}, {})

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]


def test_the_cache_lies_where_xdg_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "amazonei" / "compile"


def test_a_full_disk_is_a_reason_not_to_keep_and_no_error(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("artifacts.compile.cache.shutil.copyfile", full)
    assert store.keep("n" * 64, {}, {"program": tmp_path / "made.pt"}) == "No space left on device"
    assert store.find("n" * 64) is None
    assert store.find(KEY) is not None


def test_a_place_that_cannot_be_written_is_known_beforehand(store: Store, tmp_path: Path) -> None:
    assert store.usable() == ""
    (tmp_path / "file").touch()
    assert Store(tmp_path / "file" / "cache").usable() == "Not a directory"
