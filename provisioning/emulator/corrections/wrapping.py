"""How a correction puts a function around one of moto's, knowing the one it replaces."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from provisioning.emulator.correction import Anchor

Function = Callable[..., Any]


def wrap(*wrappings: tuple[Anchor, Callable[[Function], Function]]) -> Callable[[], None]:
    """Return the installer that puts `around(original)` in each anchor's place; a classmethod stays one."""

    def install() -> None:
        for anchor, around in wrappings:
            owner, name = anchor.resolve()
            static = inspect.getattr_static(owner, name, None)
            if isinstance(static, classmethod):
                setattr(owner, name, classmethod(around(static.__func__)))
            else:
                setattr(owner, name, around(static))

    return install


def instead(function: Function) -> Callable[[Function], Function]:
    """Return the wrapping that ignores the original."""
    return lambda _original: function
