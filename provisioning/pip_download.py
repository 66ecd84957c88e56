"""Fetch wheels for another machine with pip, and tell what its words mean for the person who ships.

Nothing is resolved: pip evaluates markers for the machine it runs on, which is not the host.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from provisioning.errors import WheelsMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from provisioning.wheel_sets import Platform, WheelSet


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


def run_pip(arguments: Sequence[str], where: Platform, say: Callable[[str], None]) -> None:
    """Run pip, saying what it downloads; raises `WheelsMissing` with what its failure means."""
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
