"""One spelling for every JSON document that is hashed, and strict reading of documents from outside.

Two equal documents have equal bytes, so a SHA-256 names them. Reading refuses what the type does not
have: a missing member, a wrong type, or a member nobody asked for.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from artifacts.errors import BadRequest

SHA256_HEX = re.compile(r"[0-9a-f]{64}")


def encode(document: object) -> bytes:
    """Return the canonical bytes: sorted keys, no white space, ASCII, no NaN."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii")


def sha256(data: bytes) -> str:
    """Return the digest as 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


class Fields:
    """The members of one JSON object, each taken once and by type; `finish` refuses what is left."""

    def __init__(self, value: object, what: str) -> None:
        if not isinstance(value, dict):
            raise BadRequest(f"The {what} is not a JSON object.")
        self._left: dict[str, Any] = dict(value)
        self._what = what

    @classmethod
    def parse(cls, data: bytes, what: str) -> Fields:
        """Read an object from JSON bytes."""
        try:
            return cls(json.loads(data), what)
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"The {what} is not JSON: {error}") from error

    def _take(self, name: str) -> object:
        if name not in self._left:
            raise BadRequest(f"The {self._what} lacks {name!r}.")
        return self._left.pop(name)

    def _wrong(self, name: str, wanted: str) -> BadRequest:
        return BadRequest(f"{name!r} of the {self._what} is not {wanted}.")

    def text(self, name: str, pattern: re.Pattern[str] | None = None) -> str:
        """Take a string, which must match the whole pattern when one is given."""
        value = self._take(name)
        if not isinstance(value, str):
            raise self._wrong(name, "a string")
        if pattern is not None and not pattern.fullmatch(value):
            raise self._wrong(name, f"of the form {pattern.pattern}")
        return value

    def optional_text(self, name: str) -> str:
        """Take a string; an absent member is empty."""
        return self.text(name) if name in self._left else ""

    def integer(self, name: str) -> int:
        """Take a whole number of at least 0."""
        value = self._take(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self._wrong(name, "a whole number of at least 0")
        return value

    def number(self, name: str) -> float:
        """Take a number."""
        value = self._take(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self._wrong(name, "a number")
        return float(value)

    def optional_number(self, name: str) -> float | None:
        """Take a number or null; an absent member is null."""
        if self._left.get(name) is None:
            self._left.pop(name, None)
            return None
        return self.number(name)

    def boolean(self, name: str) -> bool:
        """Take true or false."""
        value = self._take(name)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        """Take a JSON object."""
        value = self._take(name)
        if not isinstance(value, dict):
            raise self._wrong(name, "a JSON object")
        return value

    def array(self, name: str) -> tuple[Any, ...]:
        """Take a JSON array."""
        value = self._take(name)
        if not isinstance(value, list):
            raise self._wrong(name, "a JSON array")
        return tuple(value)

    def optional_array(self, name: str) -> tuple[Any, ...]:
        """Take a JSON array; an absent member is an empty one."""
        return self.array(name) if name in self._left else ()

    def integers(self, name: str) -> tuple[int, ...]:
        """Take an array of whole numbers of at least 0."""
        values = self.array(name)
        if not all(type(value) is int and value >= 0 for value in values):
            raise self._wrong(name, "an array of whole numbers of at least 0")
        return values

    def finish(self) -> None:
        """Refuse members that nobody took."""
        if self._left:
            names = ", ".join(repr(name) for name in sorted(self._left))
            raise BadRequest(f"The {self._what} has unknown members: {names}.")
