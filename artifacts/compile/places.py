"""Where in the user's Python something happened: the line, and the module whose forward was running."""

from __future__ import annotations

import contextlib
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from artifacts.compile.foreign import shown

if TYPE_CHECKING:
    from types import FrameType

_TORCH = str(Path(torch.__file__).parent)
_HERE = str(Path(__file__).parent)
_PASSED_THROUGH = frozenset({contextlib.__file__, warnings.__file__})
_PRINTING = str(Path(_TORCH, "_tensor_str.py"))


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line of the user's, and the innermost module (by its name in the model) that was running."""

    path: str
    line: int
    module: str = ""  # empty: the model itself

    def __str__(self) -> str:
        return shown(Path(self.path), self.line)

    @property
    def position(self) -> tuple[str, int]:
        """Return what tells lines apart, whichever module runs them."""
        return self.path, self.line


class Surroundings:
    """Reads the running stack of a model whose modules have names."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._names = {id(module): name for name, module in model.named_modules()}

    def place(self) -> Place | None:
        """Return the innermost line that is the user's; None when a tensor is only being printed."""
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the documented way to the stack
        line: FrameType | None = None
        module: str | None = None
        while frame is not None:
            if frame.f_code.co_filename == _PRINTING:
                return None
            line = line or (None if _foreign(frame.f_code.co_filename) else frame)
            owner = id(frame.f_locals.get("self")) if frame.f_code.co_varnames[:1] == ("self",) else 0
            if module is None and line is not None:
                module = self._names.get(owner)
            frame = frame.f_back
        if line is None:
            return Place("<unknown>", 0)
        return Place(line.f_code.co_filename, line.f_lineno, module or "")


def _foreign(filename: str) -> bool:
    return filename.startswith((_TORCH, _HERE, "<")) or filename in _PASSED_THROUGH
