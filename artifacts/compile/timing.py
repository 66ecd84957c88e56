"""How long one request takes: on one thread, and where it must be exact, with nobody else timing."""

from __future__ import annotations

import fcntl
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import torch
from torch.utils.benchmark import Timer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROUNDS = 3
ROUND_S = 0.1
_WARM_UP_RUNS = 3  # TorchScript specialises in its first runs


@contextmanager
def timing_turn(lock: Path, *, alone: bool) -> Iterator[None]:
    """Hold the machine's timing lock: alone, or together with others that need not be alone.

    What is timed takes one thread, and compiles run side by side on no more cores than there are, so where
    a tenth does not matter, waiting for each other's timing would only leave cores idle. Where the lock
    cannot be made, there is none: times are then less exact, and no compile fails for that.
    """
    with ExitStack() as held:
        with suppress(OSError):
            lock.parent.mkdir(parents=True, exist_ok=True)
            stream = held.enter_context(lock.open("w"))
            # Released by closing, also when this process is killed.
            fcntl.flock(stream, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


def median_ms(
    run: Callable[..., object], inputs: tuple[torch.Tensor, ...], round_s: float = ROUND_S
) -> float:
    """Return the time of one request on one thread, in milliseconds, from rounds of so many seconds.

    The least of the rounds' medians: whatever else runs on this machine only ever adds.
    """
    with torch.inference_mode():
        for _ in range(_WARM_UP_RUNS):
            run(*inputs)
        timer = Timer(stmt="run(*inputs)", globals={"run": run, "inputs": inputs}, num_threads=1)
        medians = [timer.blocked_autorange(min_run_time=round_s).median for _ in range(ROUNDS)]
    return min(medians) * 1e3
