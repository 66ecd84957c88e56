"""Safetensors bodies of a layout that was seen before: no header is parsed, checked or written twice.

A body is a header (names, types, shapes, places) and bytes. A model's clients send the same header again and
again, and its answers have the same one. Whether a body is in order depends on its header and its length
alone, so the library reads the first body of a layout, and the next ones go by what it found.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch

if TYPE_CHECKING:
    from artifacts.serve.sampling import Tensors

_LENGTH_BYTES = 8
_LONGEST = 4096  # of a header that is kept; a model with hundreds of inputs has other worries
_MOST = 64  # layouts, such as those of several sizes; a client that sends always new ones fills no memory


class _Place(NamedTuple):
    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int  # bytes from the body's beginning

    def tensor(self, body: bytearray) -> torch.Tensor:
        """Return the tensor in a body; it is the body's own memory."""
        # A quarter of the time that torch.frombuffer and reshape take.
        return torch.from_numpy(np.ndarray(self.shape, self.dtype, body, self.offset))


class Layouts:
    """Layouts of request bodies that were read, and accepted, before."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, bytes], tuple[_Place, ...]] = {}
        self._last: tuple[int, bytes, tuple[_Place, ...]] = (-1, b"", ())

    def read(self, body: bytearray) -> Tensors | None:
        """Return the tensors of a body whose layout is known, else None."""
        size, head, places = self._last
        # Most requests are like the one before.
        if size != len(body) or not body.startswith(head):
            size, head = len(body), _head(body)
            found = self._known.get((size, head))
            if found is None:
                return None
            self._last = size, head, (places := found)
        return {place.name: place.tensor(body) for place in places}

    def learn(self, body: bytearray, tensors: Tensors) -> None:
        """Remember a body's layout: `tensors` is what the library read from it, and what was accepted."""
        head = _head(body)
        places = _places(head, tensors) if head else None
        if places is None or not all(_same(place.tensor(body), tensors[place.name]) for place in places):
            return
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[len(body), head] = places


def _head(body: bytearray | bytes) -> bytes:
    """Return the header with its length before it; nothing for one that is too long to be kept."""
    end = _LENGTH_BYTES + int.from_bytes(body[:_LENGTH_BYTES], "little")
    return bytes(body[:end]) if end <= _LONGEST else b""


def _places(head: bytes, tensors: Tensors) -> tuple[_Place, ...] | None:
    """Return where each tensor lies; None where one cannot be used in its place."""
    document = json.loads(head[_LENGTH_BYTES:])
    try:
        dtypes = {name: tensor.numpy().dtype for name, tensor in tensors.items()}
    except TypeError:  # NumPy has no bfloat16
        return None
    places = tuple(
        _Place(name, dtypes[name], tuple(tensor.shape), len(head) + document[name]["data_offsets"][0])
        for name, tensor in tensors.items()
    )
    return places if all(place.offset % place.dtype.itemsize == 0 for place in places) else None


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.equal(one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8))


_headers: dict[tuple[tuple[str, str, tuple[int, ...]], ...], tuple[bytes, tuple[str, ...]]] = {}


def write(tensors: Tensors) -> bytes:
    """Return CPU tensors as a safetensors file."""
    try:
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    except TypeError:  # NumPy has no bfloat16
        return bytes(safetensors.torch.save({name: tensor.contiguous() for name, tensor in tensors.items()}))
    layout = tuple([(name, array.dtype.char, array.shape) for name, array in arrays.items()])
    known = _headers.get(layout)
    if known is None:
        if len(_headers) >= _MOST:
            _headers.clear()
        dense = {name: array.copy("C") for name, array in arrays.items()}
        known = _headers[layout] = _header(bytes(safetensors.numpy.save(dense)))
    header, order = known
    return b"".join([header, *[_bytes_of(arrays[name]) for name in order]])


def _bytes_of(array: np.ndarray[Any, Any]) -> memoryview | bytes:
    """Return the bytes in C order; a copy only where they do not lie like that."""
    return array.data if array.flags.c_contiguous else array.tobytes()


def _header(file: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return a file's beginning, and its tensors in the order of their bytes."""
    end = _LENGTH_BYTES + int.from_bytes(file[:_LENGTH_BYTES], "little")
    document = json.loads(file[_LENGTH_BYTES:end])
    return file[:end], tuple(sorted(document, key=lambda name: document[name]["data_offsets"]))
