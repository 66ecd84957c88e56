"""What each kind of image needs to serve, pinned in `wheels.toml`, and where it is to be installed."""

from __future__ import annotations

import platform
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from artifacts.targets import Family, find

WHEELS_FILE = Path(__file__).with_name("wheels.toml")
_MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}  # EC2's word and the kernel's
_OLDEST_GLIBC = {"x86_64": 5, "aarch64": 17}  # the first manylinux of each (PEP 600)
_LEGACY = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}  # the same, by their older names


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
