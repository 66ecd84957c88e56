"""What a program asks of the processor and of torch, checked before the program is opened."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.errors import ArtifactRefused

if TYPE_CHECKING:
    from artifacts.manifest import Manifest

_CPUINFO = Path("/proc/cpuinfo")
# What tells one processor from another, by Linux's names: of x86, then of Arm.
_MODEL = ("vendor_id", "cpu family", "model", "model name", "stepping", "CPU implementer", "CPU part")
# Machine code that was linked against one release of torch.
_BOUND_TO_TORCH = frozenset({"aotinductor"})


def processor_features(cpuinfo: Path = _CPUINFO) -> frozenset[str]:
    """Return the instruction sets this processor has, by Linux's names; empty where they are not told."""
    if not cpuinfo.exists():
        return frozenset()
    for line in cpuinfo.read_text(encoding="ascii", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"flags", "Features"}:  # x86, arm
            return frozenset(value.split())
    return frozenset()


def processor_model(cpuinfo: Path = _CPUINFO) -> tuple[str, ...]:
    """Return what names the first processor, each as "name: value"; empty where it is not told."""
    if not cpuinfo.exists():
        return ()
    first, _, _ = cpuinfo.read_text(encoding="ascii", errors="replace").partition("\n\n")
    pairs = (line.partition(":") for line in first.splitlines())
    told = {name.strip(): value.strip() for name, _, value in pairs}
    return tuple(f"{name}: {told[name]}" for name in _MODEL if name in told)


def refuse_unfit(manifest: Manifest, features: frozenset[str], torch_version: str) -> None:
    """Raise ArtifactRefused when this host lacks an instruction set or the release of torch."""
    lacking = sorted(set(manifest.requires) - features)
    if lacking:
        raise ArtifactRefused(
            f"{manifest.name} ({manifest.lane}) needs {', '.join(lacking)}, which this host lacks.",
            "Compile it on a machine of the target's type, or with --lanes quick.",
        )
    if manifest.program in _BOUND_TO_TORCH and _release(manifest.toolchain.torch) != _release(torch_version):
        raise ArtifactRefused(
            f"{manifest.name} ({manifest.lane}) was linked against torch {manifest.toolchain.torch}; "
            f"this host has {torch_version}.",
            "Compile it with the host's torch, or with --lanes quick.",
        )


def _release(version: str) -> str:
    return version.partition("+")[0]


def installed_torch() -> str:
    """Return the version of torch here, without importing it."""
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return "none"
