"""Bring a deployment's artifacts home before its bucket goes: what stayed there would be billed."""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.archive import archive_name, open_verified
from artifacts.errors import AmazoneiError
from artifacts.recipe import Recipe, assemble, unpacked
from provisioning.errors import AwsError, NotFound
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What came home, and what could not, each with the reason."""

    kept: tuple[Path, ...]
    damaged: tuple[tuple[Shipped, AmazoneiError], ...]


def bring_home(s3: S3, artifacts: Sequence[Shipped], folder: Path, say: Callable[[str], None]) -> Brought:
    """Put the artifacts together in a folder, verified; one that is not what was shipped hinders no other.

    Raises `AwsError` where S3 does not give what it has.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept, damaged = [], []
    for number, artifact in enumerate(artifacts, start=1):
        say(f"fetching artifact {number} of {len(artifacts)}")
        try:
            kept.append(_bring(s3, artifact, folder, say))
        except AmazoneiError as error:
            if isinstance(error, AwsError) and not isinstance(error, NotFound):
                raise
            damaged.append((artifact, error))
    return Brought(kept=tuple(kept), damaged=tuple(damaged))


def _bring(s3: S3, artifact: Shipped, folder: Path, say: Callable[[str], None]) -> Path:
    get = partial(s3.get_object, artifact.bucket)
    recipe = Recipe.parse(unpacked(get(artifact.key), get))
    say(f"fetching {len(recipe.pieces)} pieces, {recipe.size / 1e6:.1f} MB")
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=folder) as scratch:
        whole = _fetch(s3, artifact, recipe, Path(scratch))
        return whole.replace(folder / _name(artifact, whole))


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
