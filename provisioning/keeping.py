"""Bring a deployment's artifacts home before its bucket goes: what stayed there would be billed."""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.archive import archive_name, open_verified
from artifacts.recipe import Recipe, assemble, unpacked
from provisioning.transfers import side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from provisioning.aws.s3 import S3

_RECIPES, _SUFFIX = "artifacts/models/", ".recipe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """An artifact that was shipped: where its recipe is."""

    bucket: str
    key: str

    @property
    def stem(self) -> str:
        """The manifest's digest, and the signer's mark after a dash if it is signed.

        What follows a dot tells recipes of the same artifact apart.
        """
        return self.key.removeprefix(_RECIPES).removesuffix(_SUFFIX).partition(".")[0]


def shipped(s3: S3, buckets: Sequence[str]) -> tuple[Shipped, ...]:
    """Return every artifact in the buckets."""
    return tuple(
        Shipped(bucket=bucket, key=key)
        for bucket in buckets
        for key in s3.keys(bucket, _RECIPES)
        if key.endswith(_SUFFIX)
    )


def bring_home(
    s3: S3, artifacts: Sequence[Shipped], folder: Path, say: Callable[[str], None]
) -> tuple[Path, ...]:
    """Put the artifacts together in a folder, verified, and return their files.

    Raises `ArtifactRefused` or `ServeFailed` for one that is not what was shipped any more.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = []
    for number, artifact in enumerate(artifacts, start=1):
        get = partial(s3.get_object, artifact.bucket)
        recipe = Recipe.parse(unpacked(get(artifact.key), get))
        say(f"fetching artifact {number} of {len(artifacts)} ({recipe.size / 1e6:.1f} MB)")
        with tempfile.TemporaryDirectory(prefix=".incoming-", dir=folder) as scratch:
            whole = _fetch(s3, artifact, recipe, Path(scratch))
            kept.append(whole.replace(folder / _name(artifact, whole)))
    return tuple(kept)


def _fetch(s3: S3, artifact: Shipped, recipe: Recipe, scratch: Path) -> Path:
    pieces, whole = scratch / "pieces", scratch / "artifact.aei"
    pieces.mkdir()

    def fetch(sha256: str) -> None:
        (pieces / sha256).write_bytes(s3.get_object(artifact.bucket, recipe.prefix + sha256))

    side_by_side(sorted(recipe.pieces), fetch)
    assemble(recipe, pieces, whole)
    return whole


def _name(artifact: Shipped, whole: Path) -> str:
    """Return the artifact's own file name, with the signer's mark where it has one; it is verified here."""
    digest, _, signer = artifact.stem.partition("-")
    with closing(open_verified(whole, expected_digest=digest)) as contents:
        name = Path(archive_name(contents.manifest))
    return f"{name.stem}-{signer}{name.suffix}" if signer else name.name
