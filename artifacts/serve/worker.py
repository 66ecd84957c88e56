"""The worker: one process, one thread, one loaded model, answering what is there and never waiting for more.

torch is imported in the worker's own process only, so the server's parent stays small.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from abc import abstractmethod
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosec import Runtime, Worker
from mosec.env import env_var_context

from artifacts.serve.links import Links, Reply
from artifacts.serve.loop import serve
from artifacts.serve.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from multiprocessing.context import SpawnContext
    from multiprocessing.synchronize import Event

    from artifacts.serve.codec import Question
    from artifacts.serve.sampling import Tensors

VERSION_VARIABLE = "AMAZONEI_VERSION_DIRECTORY"
CPU_VARIABLE = "AMAZONEI_WORKER_CPU"  # unset: not pinned
BATCH_VARIABLE = "AMAZONEI_BATCH"  # unset or 0: what the model takes at once
# CPython lets a thread go on in Python for 5 ms before another one's turn: as long as a device takes.
_SWITCH_S = 0.0002
_WARM_UP_RUNS = 3  # TorchScript specialises in its first runs


class BatchWorker(Worker):
    """Answers up to `batch` bodies at once, in the three stages of `artifacts.serve.loop`."""

    batch: int = 1
    overlaps: bool = False

    @abstractmethod
    def read(self, body: bytearray) -> Any:
        """Return the question in a body, or the reply that says what is wrong with it."""

    @abstractmethod
    def compute(self, questions: Sequence[Any]) -> Sequence[Any]:
        """Return what the model says to each question, in their order."""

    @abstractmethod
    def write(self, question: Any, outcome: Any) -> Reply:
        """Return the reply to a question."""

    def answering(self) -> AbstractContextManager[Any]:
        """Return what this process is in while it answers."""
        return nullcontext()

    def forward(self, data: Any) -> Any:
        """Answer one body; mosec asks for this method, its own loop is not used."""
        question = self.read(data)
        if isinstance(question, Reply):
            return question.body
        return self.write(question, self.compute([question])[0]).body


class ModelWorker(BatchWorker):
    """Decodes, checks, predicts and encodes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        from artifacts.serve import batching, handler

        if cpu := os.environ.get(CPU_VARIABLE):
            os.sched_setaffinity(0, {int(cpu)})
        directory = Path(os.environ[VERSION_VARIABLE])
        self._stages = batching
        self._handler = handler.load(directory, threads=1)
        self._handler.warm_up(_WARM_UP_RUNS)
        self.batch = batch_size(int(os.environ.get(BATCH_VARIABLE, "0")), self._handler.batch_limit)
        self.overlaps = self._handler.leaves_processor

    def answering(self) -> AbstractContextManager[Any]:
        """Be in inference mode, not enter it for each request: that takes as long as a small layer."""
        import torch

        return torch.inference_mode()

    def read(self, body: bytearray) -> Question | Reply:
        """Return the decoded and checked request, or the reply that says what was expected."""
        return self._stages.read(self._handler, body)

    def compute(self, questions: Sequence[Question]) -> list[Tensors | None]:
        """Return each request's outputs, None where the model failed on it."""
        return self._stages.compute(self._handler, questions)

    def write(self, question: Question, outcome: Tensors | None) -> Reply:
        """Return the outputs in the format of the question."""
        return self._stages.write(question, outcome)


def batch_size(asked: int, limit: int) -> int:
    """Return how many requests go to the model at once: what was asked for, if the model takes as many."""
    return min(asked, limit) if asked else limit


def link_count(batch: int, workers: int) -> int:
    """Return how many requests a worker may hold.

    Twice the batch: the next one gathers while this one is computed. Where a request is computed alone and
    there are other workers, only one: what a busy worker holds, an idle one cannot take.
    """
    return 1 if batch == 1 and workers > 1 else 2 * batch


def work(
    kind: type[BatchWorker], address: str, workers: int, shutdown: Event, *, crowded: bool = False
) -> None:
    """Load, connect to mosec's front at this socket and answer until the server ends.

    `crowded` says that every CPU has a worker, so that waiting awake would take one from somebody.
    """
    worker = kind()
    # The server ends its workers itself, once they have answered; systemd signals them all at the same time.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What was loaded is there for good; looking through all of torch for garbage takes milliseconds.
    gc.collect()
    gc.freeze()
    if worker.overlaps:
        sys.setswitchinterval(_SWITCH_S)
    count = link_count(worker.batch, workers)
    patience = None if crowded else Patience()
    with worker.answering(), Links(address, count, patience) as links:
        serve(worker, links, shutdown.is_set)


class LinkedRuntime(Runtime):
    """mosec's keeper of worker processes, with `work` in them instead of mosec's own loop."""

    def _start_process(self, worker_id: int, work_path: str, shutdown: Event, _: Event) -> None:
        import multiprocessing

        context: SpawnContext = multiprocessing.get_context("spawn")
        address = os.path.join(work_path, f"ipc_{self.name}.socket")  # noqa: PTH118 - mosec's own path
        crowded = self.num >= len(os.sched_getaffinity(0))  # here, for a worker may bind itself to one CPU
        process = context.Process(
            target=work,
            args=(self.worker, address, self.num, shutdown),
            kwargs={"crowded": crowded},
            daemon=True,
        )
        with env_var_context(self.env, worker_id):
            process.start()
        self._pool[worker_id] = process
