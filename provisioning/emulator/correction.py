"""What a correction of moto is: one unit, tied to the exact moto code it replaces.

moto answers yes in places where AWS answers no. Each such place is one `Correction` with the AWS
statement it follows. A correction names its anchors, the moto functions it replaces or relies on, with a
digest of their source: when a moto upgrade changes one of them, `check` fails loudly instead of letting
the emulator drift.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

from artifacts.errors import AmazoneiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class EmulatorOutdated(AmazoneiError):
    """moto is not the release the corrections were written against."""

    code = "emulator-outdated"


@dataclass(frozen=True, slots=True)
class Anchor:
    """A moto function a correction replaces or relies on: "package.module:Class.method" and its digest."""

    path: str
    digest: str

    def resolve(self) -> tuple[Any, str]:
        """Return the object that holds the function, and the function's name in it."""
        module_name, _, qualified = self.path.partition(":")
        *owners, name = qualified.split(".")
        return reduce(getattr, owners, importlib.import_module(module_name)), name

    def current_digest(self) -> str:
        """Return the digest of the function's source as installed, or "" when it is gone."""
        try:
            owner, name = self.resolve()
            source = inspect.getsource(inspect.getattr_static(owner, name))
        except (AttributeError, ImportError, TypeError, OSError):
            # A property has no source of its own; anchor the function behind it instead.
            return ""
        return hashlib.sha256(inspect.cleandoc(source).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """One place where moto is made to answer as AWS does."""

    name: str
    statement: str  # what AWS does, in one sentence
    source: str  # where AWS states it (a URL)
    anchors: tuple[Anchor, ...]
    install: Callable[[], None]  # replaces the anchored functions; called once per process


def moved_anchors(corrections: Iterable[Correction]) -> tuple[str, ...]:
    """Return one line for each anchor whose moto source is not the one the correction was written for."""
    return tuple(
        f"{correction.name}: {anchor.path} is {anchor.current_digest() or 'gone'}, not {anchor.digest}"
        for correction in corrections
        for anchor in correction.anchors
        if anchor.current_digest() != anchor.digest
    )


def install_all(corrections: Iterable[Correction]) -> None:
    """Install every correction, or raise `EmulatorOutdated` before the first when any anchor has moved."""
    wanted = tuple(corrections)
    moved = moved_anchors(wanted)
    if moved:
        raise EmulatorOutdated(
            "The installed moto differs from the one the emulator corrects:\n" + "\n".join(moved),
            "Install the pinned release: pip install -r requirements.txt",
        )
    for correction in wanted:
        correction.install()
