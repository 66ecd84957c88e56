"""What killed commands left on the disk, removed before an installation needs the room.

A command that Systems Manager ends for being late is killed, and removes nothing. Whoever calls this holds
the lock of installations, so no other one is under way; a compile may be, and holds a lock of its own; the
script before the host's code holds none, and takes seconds.
"""

from __future__ import annotations

import fcntl
import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from artifacts.serve.versions import settle_versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from artifacts.serve.settings import HostSettings

_COMPILING = "compiling"
_BOOTSTRAP_S = 3600.0


@contextmanager
def compiling(home: Path) -> Iterator[None]:
    """Let nobody remove what a compile works with."""
    with (home / _COMPILING).open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def remove_leftovers(settings: HostSettings) -> None:
    """Remove what no command uses any more; the caller holds the lock of installations."""
    home = settings.home
    settle_versions(settings)
    _remove(settings.versions.glob(".incoming-*"))
    old = time.time() - _BOOTSTRAP_S
    _remove(path for path in (home / "bundles").glob(".incoming.*") if path.stat().st_mtime < old)
    with (home / _COMPILING).open("w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # a compile makes environments too; the next installation looks again
            return
        _remove(home.glob(".wheels-*"))
        _remove(home.glob(".compile-*"))


def _remove(folders: Iterable[Path]) -> None:
    for folder in list(folders):
        shutil.rmtree(folder, ignore_errors=True)
