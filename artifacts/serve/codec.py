"""Request and answer bodies: JSON for people, safetensors for speed, npy where a model has one input.

A server may hand over the bytes without their content type, so the format is seen from the first bytes: a
safetensors file starts with a 64-bit header length, which holds zero bytes that no JSON text has; an npy
file starts with a magic string. The answer goes out in the format of the question.
"""

from __future__ import annotations

import json
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

import safetensors.torch
from safetensors import SafetensorError

from artifacts.errors import BadRequest
from artifacts.serve import layouts, npy
from artifacts.serve.handler import as_json, parse_json

if TYPE_CHECKING:
    from artifacts.serve.handler import Handler
    from artifacts.serve.sampling import Tensors


class Format(str, Enum):  # noqa: UP042 - hosts run Python 3.10
    """How a body is written."""

    JSON = "application/json"
    SAFETENSORS = "application/vnd.safetensors"
    NPY = "application/x-npy"


class Question(NamedTuple):
    """A decoded request, and the format to answer in."""

    inputs: Tensors
    format: Format


class Answer(NamedTuple):
    """The outputs, and the format to send them in."""

    outputs: Tensors
    format: Format


def format_of(body: bytes | bytearray) -> Format:
    """Return the format that the first bytes show."""
    if body.startswith(npy.MAGIC):
        return Format.NPY
    return Format.SAFETENSORS if body[8:9] == b"{" and b"\0" in body[:8] else Format.JSON


def decode(handler: Handler, body: bytes | bytearray) -> Question:
    """Return the question in a body; raises BadRequest saying what was expected.

    Tensors may be the memory of a `bytearray`, which is theirs then.
    """
    own = body if isinstance(body, bytearray) else bytearray(body)
    known = handler.layouts.read(own)
    if known is not None:
        return Question(known, Format.SAFETENSORS)
    found = format_of(own)
    if found is Format.SAFETENSORS:
        return Question(_read_safetensors(handler, own), found)
    inputs = _read_npy(handler, body) if found is Format.NPY else handler.read_json(parse_json(body))
    handler.check(inputs)
    return Question(inputs, found)


def encode(answer: Answer) -> bytes:
    """Return the body of an answer."""
    if answer.format is Format.SAFETENSORS:
        return layouts.write(answer.outputs)
    if answer.format is Format.NPY:
        return npy.write(next(iter(answer.outputs.values())))
    return json.dumps(as_json(answer.outputs)).encode()


def _read_safetensors(handler: Handler, body: bytearray) -> Tensors:
    try:
        inputs = dict(safetensors.torch.load(bytes(body)))
    except SafetensorError as error:
        raise BadRequest(f"The body is not safetensors: {error}.") from error
    handler.check(inputs)
    handler.layouts.learn(body, inputs)
    return inputs


def _read_npy(handler: Handler, body: bytes | bytearray) -> Tensors:
    """Return the one input of a model with one input and one output; raises BadRequest for any other."""
    inputs, outputs = handler.manifest.inputs, handler.manifest.outputs
    if len(inputs) != 1 or len(outputs) != 1:
        raise BadRequest(
            f"An npy body is one array; this model has {len(inputs)} inputs and {len(outputs)} outputs: "
            "send safetensors or JSON."
        )
    return {inputs[0].name: npy.read(body)}
