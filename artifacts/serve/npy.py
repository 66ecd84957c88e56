"""One tensor as an npy file (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).

Only plain numbers are read: an npy file can also hold pickled objects, which would run code.
"""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import torch

from artifacts.errors import BadRequest

MAGIC = b"\x93NUMPY"
_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read(body: bytes | bytearray) -> torch.Tensor:
    """Return the array in a file; raises BadRequest."""
    stream = io.BytesIO(body)
    try:
        shape, fortran, dtype = _READERS[np.lib.format.read_magic(stream)](stream)
        _refuse_unplain(dtype)
        # Before anything is allocated: a header may promise more than there is.
        _refuse_misfit(math.prod(shape) * dtype.itemsize, len(body) - stream.tell())
        array = np.frombuffer(body, dtype, offset=stream.tell()).astype(dtype.newbyteorder("="))
        return torch.from_numpy(array.reshape(shape, order="F" if fortran else "C").copy(order="C"))
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise BadRequest(f"The body is not npy that a tensor can be made of: {error}.") from error


def _refuse_unplain(dtype: np.dtype[Any]) -> None:
    if dtype.hasobject or dtype.names or dtype.subdtype:
        raise BadRequest("The body is an npy file of objects or records; expected plain numbers.")


def _refuse_misfit(promised: int, there: int) -> None:
    if promised != there:
        raise BadRequest(f"The body is not npy: its header promises {promised} bytes, there are {there}.")


def write(tensor: torch.Tensor) -> bytes:
    """Return a tensor as a file; raises BadRequest for a dtype that NumPy does not have."""
    try:
        array = tensor.numpy()
    except TypeError as error:
        raise BadRequest(f"npy has no {tensor.dtype}: send safetensors or JSON.") from error
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=False)
    return stream.getvalue()
