"""Ctrl-C, a closed terminal and a request to end are one thing: stop, and say how to go on."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from provisioning.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from provisioning.settings import Settings

# What ends a command from outside besides Ctrl-C: `kill`, and the terminal's window being closed.
ENDING = (signal.SIGTERM, signal.SIGHUP)

AGAIN = "Run the same command again to go on."


@contextmanager
def ended_like_ctrl_c() -> Iterator[None]:
    """Let the signals that end a process raise `KeyboardInterrupt`, so that cleaning up runs for all alike.

    A signal that is ignored (`nohup`) stays ignored.
    """
    former = {
        number: signal.signal(number, _interrupt)
        for number in ENDING
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


def left_going(error: BaseException) -> Sequence[str]:
    """Return what an interruption left going on, as who was interrupted has noted it."""
    return tuple(getattr(error, "__notes__", ()))


@contextmanager
def resumable(
    settings: Settings, doing: str, *, way_on: str = AGAIN, on_hosts: bool = False
) -> Iterator[None]:
    """Turn an interruption of `doing` into `Interrupted`, naming the ways on and back."""
    try:
        yield
    except KeyboardInterrupt as interruption:
        notes = left_going(interruption)
        told = "\n".join([f"Interrupted while {doing}.", *notes])
        served = f"  what is served: {settings.command('status --hosts')}\n" if on_hosts else ""
        raise Interrupted(
            told if notes else f"Interrupted while {doing}; AWS may go on with what it was asked for.",
            f"{way_on}\n{served}"
            f"  what exists:   {settings.command('status')}\n"
            f"  remove it all: {settings.command('teardown --yes')}",
        ) from None
