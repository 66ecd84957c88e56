"""Do one piece of work in a process of its own: a crash or a hang is an answer, not the end."""

from __future__ import annotations

import multiprocessing
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Answer]):
    """What the work returned, or why it did not return."""

    answer: Answer | None
    reason: str = ""


def isolated(work: Callable[[], Answer], timeout_s: float) -> Outcome[Answer]:
    """Run the work in a fork, which has the model already; the answer must be picklable.

    The caller's process runs torch with one thread, so no pool of threads is lost in the fork.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_work, args=(work, sender))
    child.start()
    sender.close()  # so that the end of the child is the end of the pipe
    try:
        return _received(receiver, child, timeout_s)
    finally:
        receiver.close()
        child.kill()
        child.join()


def _work(work: Callable[[], Answer], sender: Connection) -> None:
    sender.send(work())
    sender.close()


def _received(
    receiver: Connection, child: multiprocessing.process.BaseProcess, timeout_s: float
) -> Outcome[Answer]:
    if not receiver.poll(timeout_s):
        return Outcome(None, f"was still running after {timeout_s:.0f} s")
    try:
        answer: Answer = receiver.recv()
    except EOFError:
        child.join()
        return Outcome(None, f"its process ended with {_ending(child.exitcode or 0)}")
    return Outcome(answer)


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
