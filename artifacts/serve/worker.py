"""The mosec worker: one process, one thread, one loaded model.

torch is imported in the worker's own process only, so the server's parent stays small.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosec import ValidationError, Worker

from artifacts.errors import BadRequest

if TYPE_CHECKING:
    from artifacts.serve.codec import Answer, Question

VERSION_VARIABLE = "AMAZONEI_VERSION_DIRECTORY"
CPU_VARIABLE = "AMAZONEI_WORKER_CPU"  # unset: not pinned
_WARM_UP_RUNS = 3  # TorchScript specialises in its first runs


class ModelWorker(Worker):
    """Decodes, checks, predicts and encodes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        from artifacts.serve import codec, handler

        if cpu := os.environ.get(CPU_VARIABLE):
            os.sched_setaffinity(0, {int(cpu)})
        directory = Path(os.environ[VERSION_VARIABLE])
        self._codec = codec
        self._handler = handler.load(directory, threads=1)
        self._handler.warm_up(_WARM_UP_RUNS)

    def deserialize(self, data: bytes) -> Question:
        """Decode and check a body; a wrong one is answered with 422 and what was expected."""
        try:
            return self._codec.decode(self._handler, bytes(data))  # mosec hands over a bytearray
        except BadRequest as error:
            raise ValidationError(error.message) from error

    def forward(self, data: Any) -> Any:
        """Answer one Question; mosec builds an OpenAPI schema from annotations, and tensors have none."""
        return self._codec.Answer(self._handler.predict_batch([data.inputs])[0], data.raw)

    def serialize(self, data: Answer) -> bytes:
        """Encode an answer; mosec declares one content type per route, so raw ones are labelled JSON."""
        return self._codec.encode(data)
