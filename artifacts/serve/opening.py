"""Open the programs of an artifact: one, or one for each bucket of sizes, in files of their own or in one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from artifacts.errors import ArtifactRefused
from artifacts.serve.fitting import bucket_key, buckets, program_name
from artifacts.serve.program import PROGRAM_NAME, open_parts, open_program

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from artifacts.specs import TensorSpec

Specs = tuple["TensorSpec", ...]


def in_one_file(names: Collection[str], specs: Specs) -> bool:
    """Return whether one of these files holds the programs of all sizes; raises ArtifactRefused else.

    Weights that are equal are one in it. Programs of some kinds have files of their own.
    """
    wanted = [program_name(specs, bucket) for bucket in buckets(specs)]
    missing = [name for name in wanted if name not in names]
    if missing and (PROGRAM_NAME in missing or len(missing) < len(wanted) - 1):
        raise ArtifactRefused(f"The artifact has no {', '.join(missing)}.", "Compile the model again.")
    return bool(missing)


def open_programs(
    files: Mapping[str, Path], specs: Specs, program: str, preparation: str
) -> dict[str, Callable[..., Any]]:
    """Open the programs by the buckets they are for; `files` are the artifact's by their names in it."""
    names = {bucket_key(specs, bucket): program_name(specs, bucket) for bucket in buckets(specs)}
    if in_one_file(files, specs):
        return open_parts(files[PROGRAM_NAME], names, program, preparation)
    return {key: open_program(files[name], program, preparation) for key, name in names.items()}
