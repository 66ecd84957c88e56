"""What preflight found: every problem with its remedy, not only the first."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provisioning.errors import AccessDenied


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


def not_checked(code: str, what: str, refusal: AccessDenied) -> Finding:
    """Return the warning that something ("The quota was") could not be looked at, and what to allow."""
    return Finding(
        level=Level.WARNING,
        code=code,
        message=f"{what} not checked: {refusal.message}",
        remedy=f"allow {refusal.operation}; amazonei doctor --print-policy shows the whole policy",
    )
