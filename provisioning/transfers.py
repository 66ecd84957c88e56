"""Several requests to S3 at once, which an interruption does not wait for."""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

Item = TypeVar("Item")
Done = TypeVar("Done")

# Connections at once. S3 gives one connection 85 to 90 MB/s.
CONNECTIONS = 8

# A signal that comes just before a thread goes to sleep does not wake it.
_LOOK_UP_S = 0.5
_own = threading.local()


class Left(BaseException):
    """Ends a transfer whose command was interrupted; no Exception, so that botocore does not try again."""


@contextmanager
def threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Run threads until the block ends; a failure drops what has not begun.

    What is under way is waited for, but for an interruption: a request to where nobody answers takes minutes
    to give up. An object is there whole or not at all, so nothing is half-made by leaving one.
    """
    pool = ThreadPoolExecutor(count)
    try:
        yield pool
    except BaseException as error:
        pool.shutdown(wait=not isinstance(error, KeyboardInterrupt), cancel_futures=True)
        raise
    pool.shutdown()


def side_by_side(items: Sequence[Item], work: Callable[[Item], Done]) -> list[Done]:
    """Do the work for each, `CONNECTIONS` at once; the first failure, or an interruption, drops the rest.

    After an interruption, `go_on` ends what is under way.
    """
    interrupted = threading.Event()

    def one(item: Item) -> Done:
        _own.interrupted = interrupted
        return work(item)

    with threads(CONNECTIONS) as pool:
        try:
            futures = [pool.submit(one, item) for item in items]
            left = set(futures)
            while left:
                done, left = wait(left, _LOOK_UP_S, FIRST_EXCEPTION)
                for future in done:
                    future.result()
        except KeyboardInterrupt:
            interrupted.set()
            raise
    return [future.result() for future in futures]


def result_of(future: Future[Done]) -> Done:
    """Return what a thread's work answers; Ctrl-C is heard while it is waited for."""
    while not wait([future], _LOOK_UP_S).done:
        pass
    return future.result()


def go_on(_: int = 0) -> None:
    """Raise `Left` in a thread of `side_by_side` that was interrupted; called between blocks of a body.

    What would still arrive could come after the bucket was emptied for its removal.
    """
    interrupted: threading.Event | None = getattr(_own, "interrupted", None)
    if interrupted is not None and interrupted.is_set():
        raise Left
