"""The worker: one process, one thread, one loaded model, answering what is there and never waiting for more.

torch is imported in the worker's own process only, so the server's parent stays small.
"""

from __future__ import annotations

import os
import signal
from abc import abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosec import Runtime, Worker
from mosec.env import env_var_context

from artifacts.serve.links import FrontGone, Links

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from multiprocessing.context import SpawnContext
    from multiprocessing.synchronize import Event

    from artifacts.serve.links import Reply

VERSION_VARIABLE = "AMAZONEI_VERSION_DIRECTORY"
CPU_VARIABLE = "AMAZONEI_WORKER_CPU"  # unset: not pinned
BATCH_VARIABLE = "AMAZONEI_BATCH"  # unset or 0: what the model takes at once
_WARM_UP_RUNS = 3  # TorchScript specialises in its first runs
_LOOK_UP_S = 1.0  # how often an idle worker looks whether the server ends


class BatchWorker(Worker):
    """Answers up to `batch` bodies at once."""

    batch: int = 1

    @abstractmethod
    def answer(self, bodies: Sequence[bytes]) -> Iterable[Reply]:
        """Return the replies in the order of the bodies."""

    def forward(self, data: Any) -> Any:
        """Answer one body; mosec asks for this method, its own loop is not used."""
        return next(iter(self.answer([data]))).body


class ModelWorker(BatchWorker):
    """Decodes, checks, predicts and encodes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        from artifacts.serve import batching, handler

        if cpu := os.environ.get(CPU_VARIABLE):
            os.sched_setaffinity(0, {int(cpu)})
        directory = Path(os.environ[VERSION_VARIABLE])
        self._answer = batching.answer
        self._handler = handler.load(directory, threads=1)
        self._handler.warm_up(_WARM_UP_RUNS)
        self.batch = batch_size(int(os.environ.get(BATCH_VARIABLE, "0")), self._handler.batch_limit)

    def answer(self, bodies: Sequence[bytes]) -> Iterable[Reply]:
        """Return the replies in the order of the bodies; a wrong body's reply says what was expected."""
        return self._answer(self._handler, bodies)


def batch_size(asked: int, limit: int) -> int:
    """Return how many requests go to the model at once: what was asked for, if the model takes as many."""
    return min(asked, limit) if asked else limit


def link_count(batch: int, workers: int) -> int:
    """Return how many requests a worker may hold.

    Twice the batch: the next one gathers while this one is computed. Where a request is computed alone and
    there are other workers, only one: what a busy worker holds, an idle one cannot take.
    """
    return 1 if batch == 1 and workers > 1 else 2 * batch


def work(kind: type[BatchWorker], address: str, workers: int, shutdown: Event) -> None:
    """Load, connect to mosec's front at this socket and answer until the server ends."""
    worker = kind()
    # The server ends its workers itself, once they have answered; systemd signals them all at the same time.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Links(address, link_count(worker.batch, workers)) as links:
        serve(worker, links, shutdown)


def serve(worker: BatchWorker, links: Links, shutdown: Event) -> None:
    """Answer what the links carry, as much as is there, until the server ends."""
    with suppress(FrontGone):
        while True:
            waiting = links.waiting(worker.batch, _LOOK_UP_S)
            if not waiting and shutdown.is_set():
                return
            bodies = [link.receive() for link in waiting]
            for link, reply in zip(waiting, worker.answer(bodies), strict=True):
                link.answer(reply)


class LinkedRuntime(Runtime):
    """mosec's keeper of worker processes, with `work` in them instead of mosec's own loop."""

    def _start_process(self, worker_id: int, work_path: str, shutdown: Event, _: Event) -> None:
        import multiprocessing

        context: SpawnContext = multiprocessing.get_context("spawn")
        address = os.path.join(work_path, f"ipc_{self.name}.socket")  # noqa: PTH118 - mosec's own path
        process = context.Process(target=work, args=(self.worker, address, self.num, shutdown), daemon=True)
        with env_var_context(self.env, worker_id):
            process.start()
        self._pool[worker_id] = process
