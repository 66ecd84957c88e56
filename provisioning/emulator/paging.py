"""Pages of an answer: a token names where the next one begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from moto.ssm.exceptions import SSMException

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")


def page(items: Sequence[T], token: str | None, most: int) -> tuple[Sequence[T], str | None]:
    """Return the page that begins at the token, and the next token; raises InvalidNextToken."""
    if token and not token.isdigit():
        raise SSMException("InvalidNextToken", "The specified token is not valid.")
    begin = int(token) if token else 0
    end = begin + most
    return items[begin:end], str(end) if end < len(items) else None
