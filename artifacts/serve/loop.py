"""What a worker does with what its links carry: read, compute, write; beside each other where that pays.

Where the model runs on another chip, reading the next requests and writing the last answers takes nothing
from it, so they are done while it computes, and it begins with what is there as soon as it is free. On a CPU
they would only take turns with the model on its own core, so there a batch is done from end to end.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from artifacts.serve.links import FrontGone, Link, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from artifacts.serve.links import Links

_LOOK_UP_S = 1.0  # how often an idle worker looks whether the server ends


class Stages(Protocol):
    """How one kind of request is answered."""

    batch: int  # how many questions `compute` takes at once
    overlaps: bool  # whether `compute` leaves the processor to the other two

    def read(self, body: bytearray) -> Any | Reply:
        """Return the question in a body, or the reply that says what is wrong with it."""

    def compute(self, questions: Sequence[Any]) -> Sequence[Any]:
        """Return what the model says to each question, in their order."""

    def write(self, question: Any, outcome: Any) -> Reply:
        """Return the reply to a question."""


class Asked(NamedTuple):
    """A question that has been read, and where its answer goes."""

    link: Link
    question: Any


def serve(stages: Stages, links: Links, ending: Callable[[], bool]) -> None:
    """Answer what the links carry, as much as is there, until the server ends or its front is gone."""
    with suppress(FrontGone):
        if stages.overlaps:
            _serve_overlapping(stages, links, ending)
        else:
            _serve_in_turn(stages, links, ending)


def _serve_in_turn(stages: Stages, links: Links, ending: Callable[[], bool]) -> None:
    while True:
        waiting = links.waiting(stages.batch, _LOOK_UP_S)
        asked = _read(stages, waiting, leave=len(waiting) == 1)
        if asked:
            _answer(stages, asked, stages.compute([each.question for each in asked]))
        elif not waiting and ending():
            return


def _serve_overlapping(stages: Stages, links: Links, ending: Callable[[], bool]) -> None:
    with _Computing(stages, links.ring) as computing:
        while True:
            waiting = links.waiting(stages.batch, _LOOK_UP_S, patient=not computing.under_way)
            computing.answer_finished()
            alone = len(waiting) == 1 and not computing.under_way
            asked = _read(stages, waiting, leave=alone)
            if alone and asked:
                # Nobody else is waiting, so there is nothing to do beside it: another thread would cost time.
                _answer(stages, asked, stages.compute([asked[0].question]))
            elif asked:
                computing.take(asked)
            elif not waiting and not computing.under_way and ending():
                return


def _read(stages: Stages, waiting: Sequence[Link], *, leave: bool) -> list[Asked]:
    """Return the questions that came; what is wrong with a request is answered at once.

    With `leave` they are to be answered before the links are looked at again.
    """
    asked = []
    for link in waiting:
        question = stages.read(link.receive(leave=leave))
        if isinstance(question, Reply):
            link.answer(question)
        else:
            asked.append(Asked(link, question))
    return asked


def _answer(stages: Stages, asked: Sequence[Asked], outcomes: Sequence[Any]) -> None:
    for each, outcome in zip(asked, outcomes, strict=True):
        each.link.answer(stages.write(each.question, outcome))


class _Computing:
    """A thread that computes what has been read, a batch after the other, without a pause between them."""

    def __init__(self, stages: Stages, ring: Callable[[], None]) -> None:
        self._stages, self._ring = stages, ring
        self._waiting: deque[Asked] = deque()
        self._finished: deque[tuple[list[Asked], Sequence[Any]]] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="computing")
        self.under_way = 0  # questions taken and not answered yet

    def __enter__(self) -> _Computing:  # noqa: PYI034 - Self is Python 3.11
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End after the batch under way; what still waits has nobody to be answered to."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join()

    def take(self, asked: Sequence[Asked]) -> None:
        """Compute these as soon as the device is free, with whatever else waits by then."""
        self.under_way += len(asked)
        with self._changed:
            self._waiting.extend(asked)
            self._changed.notify()

    def answer_finished(self) -> None:
        """Answer every batch that is finished; raises what ended the thread, if anything did."""
        while self._finished:
            asked, outcomes = self._finished.popleft()
            self.under_way -= len(asked)
            _answer(self._stages, asked, outcomes)
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while asked := self._next():
                self._finished.append((asked, self._stages.compute([each.question for each in asked])))
                self._ring()
        except BaseException as failure:  # noqa: BLE001 - the worker dies of it, and is replaced
            self._failure = failure
            self._ring()

    def _next(self) -> list[Asked]:
        """Return the next batch, all of it that is there; nothing when it is over."""
        with self._changed:
            while not self._waiting and not self._ended:
                self._changed.wait()
            if self._ended:
                return []
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), self._stages.batch))]
