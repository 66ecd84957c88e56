"""The boundary with the user's model: it may raise anything, and the user wants the line."""

from __future__ import annotations

import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from artifacts.errors import AmazoneiError, CompileError

if TYPE_CHECKING:
    from collections.abc import Iterator

_TORCH = Path(torch.__file__).parent
_HERE = Path(__file__).parent
_MAX_REASON = 300


@contextmanager
def user_code(doing: str) -> Iterator[None]:
    """Turn whatever the user's model raises into a CompileError that names its file and line."""
    try:
        yield
    except AmazoneiError:
        raise
    except Exception as error:
        place = _innermost(error)
        raise CompileError(f"{doing} failed: {reason_of(error)}", f"See {place}." if place else "") from error


def reason_of(error: Exception) -> str:
    """Return the error's type and the part of its text that a person reads."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines)[:_MAX_REASON]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _innermost(error: Exception) -> str:
    """Return `file:line` of the deepest frame that is the user's, or nothing."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_file() and not path.is_relative_to(_TORCH) and not path.is_relative_to(_HERE):
            return shown(path, frame.lineno or 0)
    return ""


def shown(path: Path, line: int) -> str:
    """Return `file:line` as the user would type it."""
    working = Path.cwd()
    relative = path.relative_to(working) if path.is_relative_to(working) else path
    return f"{relative}:{line}"
