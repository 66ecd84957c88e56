"""What preflight found: every problem with its remedy, not only the first."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much a finding matters."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fact about the request or the account, and what to do about it."""

    level: Level
    code: str
    message: str
    remedy: str

    @property
    def blocks(self) -> bool:
        """Whether nothing may be created while this stands."""
        return self.level is Level.ERROR
