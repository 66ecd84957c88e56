"""Which torch can open which program.

PyTorch keeps old TorchScript files loadable by newer releases; the other way round nothing is promised
(https://github.com/pytorch/pytorch/wiki/PyTorch's-Python-Frontend-Backward-and-Forward-Compatibility-Policy).
An AOTInductor package is machine code linked against one release.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from artifacts.errors import ArtifactRefused

if TYPE_CHECKING:
    from artifacts.manifest import Manifest

_AOTINDUCTOR = "aotinductor"
_RELEASE = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


def refuse_older_torch(manifest: Manifest, torch_version: str, where: str) -> None:
    """Raise `ArtifactRefused` when this torch cannot be counted on to open the program."""
    made, there = _release(manifest.toolchain.torch), _release(torch_version)
    fits = made == there if manifest.program == _AOTINDUCTOR else made[:2] <= there[:2]
    if not fits:
        raise ArtifactRefused(
            f"{manifest.name} ({manifest.lane}) was made with torch {manifest.toolchain.torch}; "
            f"{where} has torch {torch_version}, which "
            + ("is another release." if manifest.program == _AOTINDUCTOR else "is older."),
            f"Compile it with torch {torch_version}, name an image that carries torch "
            f"{manifest.toolchain.torch} in [[endpoints]], or ship it to a host: --to ec2.",
        )


def _release(version: str) -> tuple[int, int, int]:
    found = _RELEASE.match(version)
    if found is None:
        raise ArtifactRefused(f"{version!r} is not a release of torch.")
    return int(found[1]), int(found[2]), int(found[3] or 0)
