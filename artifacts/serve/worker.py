"""The mosec worker: one process, one thread, one loaded model.

Bodies are JSON or safetensors. mosec hands over the bytes without the content type, so the format is seen
from the first bytes: a safetensors file starts with a 64-bit header length, which holds zero bytes that no
JSON text has. The answer comes in the format of the question; mosec declares one type per route, JSON.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mosec import ValidationError, Worker
from mosec.errors import ClientError
from safetensors import SafetensorError
from safetensors import torch as safetensors

from artifacts.errors import BadRequest
from artifacts.serve import handler
from artifacts.serve.golden import read_golden

if TYPE_CHECKING:
    from artifacts.serve.sampling import Tensors

VERSION_VARIABLE = "AMAZONEI_VERSION_DIRECTORY"
CPU_VARIABLE = "AMAZONEI_WORKER_CPU"  # unset: not pinned
_WARM_UP_RUNS = 3  # TorchScript specialises in its first runs


@dataclass(frozen=True, slots=True)
class Question:
    """A decoded request, and the format to answer in."""

    inputs: Tensors
    raw: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """The outputs, and the format to write them in."""

    outputs: Tensors
    raw: bool


def is_safetensors(body: bytes) -> bool:
    """Whether the body starts as a safetensors file does."""
    return body[8:9] == b"{" and b"\0" in body[:8]


class ModelWorker(Worker):
    """Decodes, checks, predicts and encodes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if cpu := os.environ.get(CPU_VARIABLE):
            os.sched_setaffinity(0, {int(cpu)})
        directory = Path(os.environ[VERSION_VARIABLE])
        self._handler = handler.load(directory, threads=1)
        golden = read_golden(directory)
        for _ in range(_WARM_UP_RUNS):
            self._handler.predict_batch([golden.inputs])

    def deserialize(self, data: bytes) -> Question:
        """Decode and check a body; a wrong one is answered with 400 or 422 and what was expected."""
        try:
            raw = is_safetensors(data)
            inputs = safetensors.load(data) if raw else self._handler.read_json(handler.parse_json(data))
        except SafetensorError as error:
            raise ClientError(f"The body is not safetensors: {error}.") from error
        except BadRequest as error:
            raise ValidationError(error.message) from error
        try:
            self._handler.check(inputs)
        except BadRequest as error:
            raise ValidationError(error.message) from error
        return Question(inputs, raw)

    def forward(self, data: Question) -> Answer:
        """Answer one request."""
        return Answer(self._handler.predict_batch([data.inputs])[0], data.raw)

    def serialize(self, data: Answer) -> bytes:
        """Encode an answer."""
        if data.raw:
            outputs = {name: tensor.contiguous() for name, tensor in data.outputs.items()}
            return bytes(safetensors.save(outputs))
        return json.dumps(handler.as_json(data.outputs)).encode()
