"""What killed commands left is removed by the next installation; what is in use is not."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from artifacts.serve.installation import install
from artifacts.serve.locking import locked
from artifacts.serve.requests import CompileOnHostRequest
from tests.artifacts.serve.staged import Theatre

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMPILES = CompileOnHostRequest(
    id="compile",
    instance_id="i-0",
    accelerator="c7i.xlarge",
    code="0" * 64,
    source="",
    timeout_s=60,
    compile={},
)


@pytest.fixture
def theatre(tmp_path: Path) -> Iterator[Theatre]:
    made = Theatre(root=tmp_path)
    yield made
    for port in made.stage.ports:
        made.stage.stop(port)


def leave(theatre: Theatre, name: str) -> Path:
    folder = theatre.home / name
    folder.mkdir(parents=True)
    (folder / "half").write_bytes(b"fetched")
    return folder


def test_an_installation_removes_what_killed_commands_left(theatre: Theatre) -> None:
    names = ("versions/.incoming-a", ".wheels-b", ".compile-c", "bundles/.incoming.d")
    left = [leave(theatre, name) for name in names]
    hours_ago = time.time() - 7200
    os.utime(left[-1], (hours_ago, hours_ago))
    just_begun = leave(theatre, "bundles/.incoming.e")
    request = theatre.asked()
    assert install(theatre.host, request)["changed"] is True
    assert [folder for folder in left if folder.exists()] == []
    assert (just_begun / "half").exists(), "another command may be fetching the host's code"


def test_what_a_compile_works_with_stays_until_it_has_ended(theatre: Theatre) -> None:
    left = [leave(theatre, name) for name in (".wheels-a", ".compile-b")]
    half = leave(theatre, "versions/.incoming-c")
    request = theatre.asked()
    with locked(theatre.home, COMPILES, theatre.host.progress):
        install(theatre.host, request)
        assert all((folder / "half").exists() for folder in left)
        assert not half.exists(), "a compile installs no version"
    install(theatre.host, request)
    assert [folder for folder in left if folder.exists()] == []


def test_a_version_that_was_moved_aside_before_a_kill_is_put_back(theatre: Theatre) -> None:
    request = theatre.asked()
    install(theatre.host, request)
    theatre.shelf.fetched.clear()
    version = theatre.host.settings.versions / request.manifest_digest
    version.rename(version.with_name(f".replaced-{version.name}"))
    assert install(theatre.host, request)["changed"] is False
    assert theatre.shelf.fetched == []
    assert [path.name for path in version.parent.iterdir()] == [version.name]
