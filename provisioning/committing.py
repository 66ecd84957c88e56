"""Commit an upload: write its recipe, whole or as what differs from another one of the model.

A whole recipe is written twice: where hosts look for it, and beside the pieces, by content. There the next
upload's listing finds it, and where little else is new, that upload's recipe is a delta of it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from artifacts import canonical
from artifacts.errors import ArtifactRefused
from artifacts.recipe import MOST_DELTA_BYTES, base_key, delta, packed, unpacked
from provisioning.errors import NotFound
from provisioning.transfers import side_by_side

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from provisioning.aws.s3 import ListedObject
    from provisioning.uploading import Upload

# A whole recipe that is less than this part of what else is sent costs no one anything; a delta costs each
# host another fetch.
_WORTH = 1 / 100
_TRIED = 4


def commit(
    upload: Upload, document: bytes, recipes: Sequence[ListedObject], others: int, *, replace: bool
) -> tuple[int, int]:
    """Write the recipe of a document; return how many objects and bytes that took.

    It is a delta where it would be more than a hundredth of the other bytes that were sent, and one of the
    recipes beside the pieces is like it. What is in the recipe's place is replaced only if that is asked.
    """
    digest = canonical.sha256(document)
    note = {"sha256": digest} | {each.name: each.sha256 for each in upload.companions}
    whole = packed(document)
    short = _delta(upload, document, len(whole), recipes) if len(whole) > others * _WORTH else None
    if short is not None:
        return 1, write(upload, short, note, replace=replace)
    sent = _put_base(upload, base_key(upload.prefix, digest), whole, recipes)
    return 1 + (sent > 0), sent + write(upload, whole, note, replace=replace)


def _put_base(upload: Upload, key: str, whole: bytes, recipes: Sequence[ListedObject]) -> int:
    """Let the recipe be where later ones find it, and return the bytes that were sent for that."""
    if any(each.key == key for each in recipes):
        return 0
    upload.account.s3.put_object(upload.bucket, key, whole)
    return len(whole)


def _delta(upload: Upload, document: bytes, size: int, recipes: Sequence[ListedObject]) -> bytes | None:
    """Return the least that the document differs in from one of about its size; None when that is most of it.

    Versions, lanes and targets of a model lie side by side: the newest few are tried.
    """
    alike = [recipe for recipe in recipes if abs(recipe.size - size) * 8 <= size]
    newest = sorted(alike, key=lambda recipe: recipe.modified, reverse=True)[:_TRIED]
    if len(document) > MOST_DELTA_BYTES:
        return None
    bases = side_by_side([recipe.key for recipe in newest], partial(_base, upload))
    deltas = [delta(document, base, upload.prefix) for base in bases if base is not None]
    short = min(deltas, key=len, default=None)
    return short if short is not None and len(short) * 2 <= size else None


def _base(upload: Upload, key: str) -> bytes | None:
    """Return a recipe's document; None for what somebody put there, or has removed."""
    try:
        document = unpacked(upload.account.s3.get_object(upload.bucket, key), _no_delta)
    except (ArtifactRefused, NotFound):
        return None
    return document if key == base_key(upload.prefix, canonical.sha256(document)) else None


def _no_delta(key: str) -> bytes:
    raise ArtifactRefused(f"A delta of {key} is the base of none.")


def write(upload: Upload, body: bytes, note: Mapping[str, str], *, replace: bool) -> int:
    """Write the recipe and return its bytes; one that another upload has just written makes the same archive.

    Its note may name other companions, or none: then the next upload looks for ours and notes them.
    """
    upload.account.s3.put_noted(upload.bucket, upload.key, body, note, only_if_absent=not replace)
    return len(body)
