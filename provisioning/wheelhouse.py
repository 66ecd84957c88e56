"""Gather the wheels that hosts need to serve, once, in a local cache, each by its SHA-256.

Hosts have no internet, and a CPU image has no PyTorch. What they install is pinned to the last package
(`wheels.toml`), fetched here for *their* platform by pip, and locked by the document that travels with it.
Nothing is resolved: pip evaluates markers for the machine it runs on, which is not the host.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from email.parser import HeaderParser
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts import canonical
from artifacts.errors import BadRequest
from artifacts.serve.wheelhouse import Wheel, Wheelhouse
from artifacts.targets import Family, find
from provisioning.errors import WheelsMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

WHEELS_FILE = Path(__file__).with_name("wheels.toml")
# PyTorch's own index of CPU builds: https://pytorch.org/get-started/locally/
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
_LOCK = "lock.json"
_MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}  # EC2's word and the kernel's
_OLDEST_GLIBC = {"x86_64": 5, "aarch64": 17}  # the first manylinux of each (PEP 600)
_LEGACY = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}  # the same, by their older names
_CUDA = re.compile(r"^(?:nvidia|cuda)-")


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelSet:
    """What one kind of image needs, pinned."""

    beside: bool  # whether the image's own packages stay visible
    pythons: tuple[str, ...]
    glibc: int  # the minor version of glibc 2 on the image
    imports: tuple[str, ...]
    requirements: tuple[str, ...]
    torch: str = ""  # pinned apart, since it comes from an index of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Where wheels are to be installed; no `tags`: on this machine, by this very interpreter."""

    architecture: str  # as `platform.machine()` spells it there
    pythons: tuple[str, ...]
    tags: tuple[str, ...] = ()


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


def wheel_set(family: Family) -> WheelSet | None:
    """Return what the family's image needs, or None where no Python that we support is on it."""
    return next((found for families, found in _sets() if family.value in families), None)


def platform_tags(architecture: str, glibc: int) -> tuple[str, ...]:
    """Return the platform tags that glibc 2.`glibc` can load, newest first (PEP 600); pip expands none."""
    newest_first = range(glibc, _OLDEST_GLIBC[architecture] - 1, -1)
    names = [name for minor in newest_first for name in (f"manylinux_2_{minor}", _LEGACY.get(minor)) if name]
    return tuple(f"{name}_{architecture}" for name in names)


def host_platform(accelerator: str, wheels: WheelSet) -> Platform:
    """Return the platform of an accelerator's hosts."""
    architecture = _MACHINES[find(accelerator).architecture]
    return Platform(
        architecture=architecture,
        pythons=wheels.pythons,
        tags=platform_tags(architecture, wheels.glibc),
    )


def this_platform() -> Platform:
    """Return the platform of emulated hosts: this machine and this interpreter."""
    return Platform(
        architecture=platform.machine(), pythons=(f"{sys.version_info.major}.{sys.version_info.minor}",)
    )


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


def pip_downloads(
    wheels: WheelSet, where: Platform, torch_index: str, folder: Path
) -> tuple[tuple[str, ...], ...]:
    """Return pip's arguments, one call for each Python, and one more for PyTorch from its own index.

    Nothing else is looked for on that index: a package there by one of the other names is not ours.
    """
    calls = []
    for python in where.pythons:
        common = ["download", "--no-deps", "--only-binary=:all:", "--progress-bar=off", "--dest", str(folder)]
        common += _foreign(python, where.tags)
        calls.append((*common, *wheels.requirements))
        if wheels.torch:
            index = ["--extra-index-url", torch_index] if torch_index else []
            calls.append((*common, "--retries", "1", *index, wheels.torch))
    return tuple(calls)


def _foreign(python: str, tags: Sequence[str]) -> list[str]:
    """Return the arguments that make pip choose for another machine than this one."""
    if not tags:
        return []
    arguments = ["--implementation", "cp", "--python-version", python]
    arguments += ["--abi", f"cp{python.replace('.', '')}"]
    return arguments + [word for tag in tags for word in ("--platform", tag)]


def _fetch(
    wheels: WheelSet, where: Platform, folder: Path, gathering: Gathering, say: Callable[[str], None]
) -> Gathered:
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=folder.parent) as scratch:
        incoming = Path(scratch, "wheels")
        incoming.mkdir()
        for call in pip_downloads(wheels, where, gathering.torch_index, incoming):
            _run_pip(call, where, say)
        lock = _lock_of(wheels, where, incoming)
        (incoming / _LOCK).write_bytes(lock.to_json())
        shutil.rmtree(folder, ignore_errors=True)
        incoming.rename(folder)
    say(f"gathered {len(lock.wheels)} wheels ({lock.size / 1e6:.1f} MB) in {folder}")
    return Gathered(lock=lock, folder=folder)


def _run_pip(arguments: Sequence[str], where: Platform, say: Callable[[str], None]) -> None:
    said: list[str] = []
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            said.append(line.strip())
            if line.lstrip().startswith("Downloading"):
                say(line.strip())
    if process.returncode != 0:
        raise _missing(said, where)


def _missing(said: Sequence[str], where: Platform) -> WheelsMissing:
    """Return what pip's words mean for the person who ships."""
    text = "\n".join(said)
    python = " or ".join(where.pythons)
    if "No module named pip" in text:
        return WheelsMissing(
            "This Python has no pip to gather wheels with.", f"{sys.executable} -m ensurepip"
        )
    last = next((line for line in reversed(said) if line.startswith("ERROR")), said[-1] if said else "")
    unreachable = "Failed to establish a new connection" in text or "NameResolutionError" in text
    if unreachable or "timed out" in text or "SSLError" in text:
        return WheelsMissing(
            f"A package index could not be reached while gathering wheels: {last}",
            "Check the network and pip's configuration (pip config list), or name a mirror of PyTorch's CPU "
            'builds: torch_index = "https://..." under [hosts] (empty: none but pip\'s own indices).',
        )
    return WheelsMissing(
        f"There is no such wheel for Python {python} on {where.architecture}: {last}",
        "Let pip's indices (pip config list) have wheels for that platform; hosts build nothing.",
    )


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


@cache
def _sets() -> tuple[tuple[frozenset[str], WheelSet], ...]:
    with WHEELS_FILE.open("rb") as stream:
        document = tomllib.load(stream)
    return tuple((frozenset(row["families"]), _set(row)) for row in document["sets"].values())


def _set(row: dict[str, Any]) -> WheelSet:
    return WheelSet(
        beside=row["beside"],
        pythons=tuple(row["pythons"]),
        glibc=int(row["glibc"].partition(".")[2]),
        imports=tuple(row["imports"]),
        requirements=tuple(row["requirements"]),
        torch=row.get("torch", ""),
    )
