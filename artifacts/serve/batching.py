"""Answer the requests of a batch together; what is wrong with one of them is told to that one alone."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING

from artifacts.errors import BadRequest
from artifacts.serve.codec import Answer, Question, decode, encode
from artifacts.serve.links import Code, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from artifacts.serve.handler import Handler
    from artifacts.serve.sampling import Tensors

FAILED = Reply(Code.FAILED, b"The model failed on this request; the server's log says why.")


def answer(handler: Handler, bodies: Sequence[bytes]) -> Iterator[Reply]:
    """Yield the replies to at most `handler.batch_limit` bodies, in their order."""
    asked = [read(handler, body) for body in bodies]
    outcomes = iter(compute(handler, [each for each in asked if isinstance(each, Question)]))
    for each in asked:
        yield each if isinstance(each, Reply) else write(each, next(outcomes))


def read(handler: Handler, body: bytes | bytearray) -> Question | Reply:
    """Return the decoded and checked request, or the reply that says what was expected."""
    try:
        return decode(handler, body)
    except BadRequest as error:
        return Reply(Code.INVALID, error.message.encode())
    except Exception:  # noqa: BLE001 - it must not cost the other requests
        return _failed()


def compute(handler: Handler, questions: Sequence[Question]) -> list[Tensors | None]:
    """Return each request's outputs, None where the model failed on it.

    When the model fails on a batch, its requests are tried one by one: the others shall have their answers.
    """
    if not questions:
        return []
    try:
        return list(handler.predict_batch([question.inputs for question in questions]))
    except Exception:  # noqa: BLE001 - whatever a model raises
        if len(questions) == 1:
            _log()
            return [None]
        return [outputs for question in questions for outputs in compute(handler, [question])]


def write(question: Question, outputs: Tensors | None) -> Reply:
    """Return the outputs in the format of the question."""
    if outputs is None:
        return FAILED
    try:
        return Reply(Code.OK, encode(Answer(outputs, question.format)))
    except BadRequest as error:
        return Reply(Code.INVALID, error.message.encode())
    except Exception:  # noqa: BLE001 - it must not cost the other requests
        return _failed()


def _failed() -> Reply:
    _log()
    return FAILED


def _log() -> None:
    sys.stderr.write("amazonei: a request failed\n" + traceback.format_exc())
    sys.stderr.flush()
