"""Request and answer bodies: JSON for people, safetensors for speed.

A server may hand over the bytes without their content type, so the format is seen from the first bytes: a
safetensors file starts with a 64-bit header length, which holds zero bytes that no JSON text has. The
answer goes out in the format of the question.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors import torch as safetensors

from artifacts.errors import BadRequest
from artifacts.serve.handler import as_json, parse_json

if TYPE_CHECKING:
    from artifacts.serve.handler import Handler
    from artifacts.serve.sampling import Tensors


@dataclass(frozen=True, slots=True)
class Question:
    """A decoded request, and whether it came as safetensors."""

    inputs: Tensors
    raw: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """The outputs, and whether to send them as safetensors."""

    outputs: Tensors
    raw: bool


def is_safetensors(body: bytes) -> bool:
    """Whether the body starts as a safetensors file does."""
    return body[8:9] == b"{" and b"\0" in body[:8]


def decode(handler: Handler, body: bytes) -> Question:
    """Return the question in a body; raises BadRequest saying what was expected."""
    raw = is_safetensors(body)
    if raw:
        try:
            inputs = safetensors.load(body)
        except SafetensorError as error:
            raise BadRequest(f"The body is not safetensors: {error}.") from error
    else:
        inputs = handler.read_json(parse_json(body))
    handler.check(inputs)
    return Question(inputs, raw)


def encode(answer: Answer) -> bytes:
    """Return the body of an answer."""
    if answer.raw:
        outputs = {name: tensor.contiguous() for name, tensor in answer.outputs.items()}
        return bytes(safetensors.save(outputs))
    return json.dumps(as_json(answer.outputs)).encode()
