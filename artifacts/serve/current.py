"""Which version a host serves: `current.json`, replaced in one step."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from artifacts.canonical import SHA256_HEX, Fields
from artifacts.errors import BadRequest, ServeFailed
from artifacts.serve.scale import Scale

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """The served version and where it listens."""

    digest: str
    port: int
    address: str
    workers: int
    python: str = ""  # the interpreter of its server; empty: noted by an older version of the tool
    batch: int = 1  # requests that a worker gives its model at once

    @property
    def scale(self) -> Scale:
        """The processes, and the requests that each takes at once."""
        return Scale(workers=self.workers, batch=self.batch)


def _file(home: Path) -> Path:
    return home / "current.json"


def read_current(home: Path) -> Current | None:
    """Return what is served, or None."""
    try:
        fields = Fields.parse(_file(home).read_bytes(), "current.json")
        return Current(
            digest=fields.text("digest", SHA256_HEX),
            port=fields.integer("port"),
            address=fields.text("address"),
            workers=fields.integer("workers"),
            python=fields.optional_text("python"),
            batch=int(fields.optional_number("batch") or 1),
        )
    except FileNotFoundError:
        return None
    except BadRequest as error:
        raise ServeFailed(error.message, "Ship the artifact again after `amazonei teardown`.") from error


def switch_current(home: Path, current: Current) -> None:
    """Make a version the served one, atomically and durably."""
    temporary = home / ".current.json.partial"
    with temporary.open("w", encoding="ascii") as stream:
        json.dump(asdict(current), stream)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(_file(home))


def clear_current(home: Path) -> None:
    """Serve nothing."""
    _file(home).unlink(missing_ok=True)


def require_current(home: Path) -> Current:
    """Return what is served; raises BadRequest when nothing is."""
    current = read_current(home)
    if current is None:
        raise BadRequest("Nothing is served on this host.", "Run `amazonei ship ARTIFACT` first.")
    return current
