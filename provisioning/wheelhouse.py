"""Gather the wheels that hosts need to serve, once, in a local cache, each by its SHA-256.

Hosts have no internet, and a CPU image has no PyTorch. What they install is pinned to the last package
(`wheels.toml`), fetched here for *their* platform by pip, and locked by the document that travels with it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts import canonical
from artifacts.errors import BadRequest
from artifacts.serve.wheelhouse import Wheel, Wheelhouse
from artifacts.targets import Family, find
from provisioning.errors import WheelsMissing
from provisioning.pip_download import pip_downloads, run_pip
from provisioning.wheel_sets import host_platform, this_platform, wheel_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from provisioning.wheel_sets import Platform, WheelSet

# PyTorch's own index of CPU builds: https://pytorch.org/get-started/locally/
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
_LOCK = "lock.json"
_CUDA = re.compile(r"^(?:nvidia|cuda)-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """A wheelhouse on this machine: the lock, and the folder with its wheels."""

    lock: Wheelhouse
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathering:
    """How wheels are gathered: from which index PyTorch comes, and where they are kept."""

    torch_index: str = TORCH_INDEX  # empty: the indices that pip is configured with, and no other
    cache: Path | None = None  # None: $XDG_CACHE_HOME/amazonei/wheelhouses


def gather_for(
    accelerator: str, gathering: Gathering, say: Callable[[str], None], *, emulated: bool
) -> Gathered | None:
    """Return the wheelhouse of an accelerator's hosts, or None for hosts that no wheels are known for.

    An emulated host has none of the image's packages, whatever it stands for, so it gets all of them.
    Raises `WheelsMissing`.
    """
    wheels = wheel_set(Family.CPU if emulated else find(accelerator).family)
    if wheels is None:
        return None
    where = this_platform() if emulated else host_platform(accelerator, wheels)
    return gather(wheels, where, gathering, say)


def gather(wheels: WheelSet, where: Platform, gathering: Gathering, say: Callable[[str], None]) -> Gathered:
    """Return the wheels for a platform from the cache, or fetch them into it; raises `WheelsMissing`."""
    base = gathering.cache or _cache_directory()
    folder = base / _key(wheels, where, gathering.torch_index)
    base.mkdir(parents=True, exist_ok=True)
    with _sole(base / f"{folder.name}.lock"):
        kept = _kept(folder)
        return Gathered(lock=kept, folder=folder) if kept else _fetch(wheels, where, folder, gathering, say)


def _fetch(
    wheels: WheelSet, where: Platform, folder: Path, gathering: Gathering, say: Callable[[str], None]
) -> Gathered:
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=folder.parent) as scratch:
        incoming = Path(scratch, "wheels")
        incoming.mkdir()
        for call in pip_downloads(wheels, where, gathering.torch_index, incoming):
            run_pip(call, where, say)
        lock = _lock_of(wheels, where, incoming)
        (incoming / _LOCK).write_bytes(lock.to_json())
        shutil.rmtree(folder, ignore_errors=True)
        incoming.rename(folder)
    say(f"gathered {len(lock.wheels)} wheels ({lock.size / 1e6:.1f} MB) in {folder}")
    return Gathered(lock=lock, folder=folder)


def _lock_of(wheels: WheelSet, where: Platform, folder: Path) -> Wheelhouse:
    found = tuple(_wheel(path) for path in sorted(folder.glob("*.whl")))
    torch = next((folder / wheel.filename for wheel in found if wheel.name == "torch"), None)
    if torch is not None:
        _refuse_cuda(torch)
    lock = Wheelhouse(
        pythons=where.pythons,
        architecture=where.architecture,
        beside=wheels.beside,
        imports=wheels.imports,
        wheels=found,
    )
    return Wheelhouse.from_json(lock.to_json())  # what a host would refuse is refused here


def _wheel(path: Path) -> Wheel:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Wheel(filename=path.name, sha256=digest, size=path.stat().st_size)


def _refuse_cuda(path: Path) -> None:
    """Raise `WheelsMissing` for the build that brings gigabytes of CUDA, which a CPU host cannot use."""
    with zipfile.ZipFile(path) as archive:
        name = next(each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        headers = HeaderParser().parsestr(archive.read(name).decode("utf-8"))
    if any(_CUDA.match(need) for need in headers.get_all("Requires-Dist", [])):
        raise WheelsMissing(
            f"{path.name} is the CUDA build of PyTorch; CPU hosts take the CPU build.",
            f'Let torch_index under [hosts] name an index of CPU builds, as "{TORCH_INDEX}" is.',
        )


def _kept(folder: Path) -> Wheelhouse | None:
    """Return the lock in a folder whose wheels are all there; what was damaged is fetched anew."""
    try:
        lock = Wheelhouse.from_json((folder / _LOCK).read_bytes())
        whole = all((folder / wheel.filename).stat().st_size == wheel.size for wheel in lock.wheels)
    except (OSError, BadRequest):
        return None
    return lock if whole else None


def _key(wheels: WheelSet, where: Platform, torch_index: str) -> str:
    return canonical.sha256(
        canonical.encode(
            {
                "requirements": [*wheels.requirements, wheels.torch],
                "imports": list(wheels.imports),
                "beside": wheels.beside,
                "pythons": list(where.pythons),
                "platform": [where.architecture, *where.tags],
                "torch_index": torch_index,
            }
        )
    )


@contextmanager
def _sole(path: Path) -> Iterator[None]:
    """Let one process gather; another one that wants the same waits and finds it done."""
    with path.open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _cache_directory() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "amazonei", "wheelhouses")
