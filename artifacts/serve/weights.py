"""Weights of an AOTInductor program, used where they lie in the file: mapped, not copied.

Inductor's own runtime copies every weight when a program is loaded: half a second for BERT-base, and again in
every worker. Mapped, they are read when first used, and all workers of a host share the pages.

The tensors are made by AOTInductor's C interface, `torch/csrc/inductor/aoti_torch/c/shim.h`, which torch
keeps stable: nothing else can make one in oneDNN's packed layout of memory that is there already.
"""

from __future__ import annotations

import ctypes
import json
import mmap
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from artifacts.errors import ArtifactRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

_LIBRARY = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
_CPU, _ANY_INDEX = 0, 0  # c10::DeviceType::CPU


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """One tensor among the weights; `dtype` and `layout` by the C interface's names."""

    name: str
    dtype: str
    layout: str  # "strided", or "_mkldnn" for oneDNN's own
    start: int  # bytes from the beginning of the weights
    size: int  # bytes
    offset: int  # elements, of the tensor in its storage
    shape: tuple[int, ...]
    stride: tuple[int, ...]  # elements
    opaque: tuple[int, ...] = ()  # the bytes by which oneDNN describes its layout


def write_layout(weights: Sequence[Weight]) -> bytes:
    """Return the layout as a package keeps it."""
    return json.dumps([asdict(weight) for weight in weights], separators=(",", ":")).encode()


def read_layout(data: bytes) -> tuple[Weight, ...]:
    """Read what `write_layout` wrote; raises ArtifactRefused."""
    try:
        return tuple(_weight(item) for item in json.loads(data))
    except (ValueError, TypeError, AttributeError) as error:
        raise ArtifactRefused(
            f"The layout of the weights cannot be read: {error}.", "Compile the model again."
        ) from error


def _weight(item: dict[str, Any]) -> Weight:
    lists: dict[str, Any] = {key: tuple(value) for key, value in item.items() if isinstance(value, list)}
    return Weight(**item | lists)


def map_file(path: Path) -> torch.Tensor:
    """Return the file's bytes, uint8; who writes to one writes to a copy of that page."""
    with path.open("rb") as stream:
        return torch.frombuffer(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY), dtype=torch.uint8)


def weights_in(file: torch.Tensor, start: int, layout: Sequence[Weight]) -> dict[str, torch.Tensor]:
    """Return the tensors by name, good for as long as the file's bytes are kept.

    `start` is the byte of the file where the weights begin. Raises ArtifactRefused for one beyond its end.
    """
    for weight in layout:
        if weight.start < 0 or start + weight.start + weight.size > file.numel():
            raise ArtifactRefused(f"{weight.name} goes beyond the end of the program.", "Compile it again.")
    return {weight.name: _tensor(file.data_ptr() + start + weight.start, weight) for weight in layout}


def _tensor(address: int, weight: Weight) -> torch.Tensor:
    shim, handle = _shim(), ctypes.c_void_p()
    code = shim.aoti_torch_create_tensor_from_blob_v2(
        address,
        len(weight.shape),
        (ctypes.c_int64 * len(weight.shape))(*weight.shape),
        (ctypes.c_int64 * len(weight.stride))(*weight.stride),
        weight.offset,
        _constant("dtype", weight.dtype),
        _CPU,
        _ANY_INDEX,
        ctypes.byref(handle),
        _constant("layout", weight.layout),
        (ctypes.c_uint8 * len(weight.opaque))(*weight.opaque),
        len(weight.opaque),
    )
    if code != 0:
        raise ArtifactRefused(f"torch cannot use the weight {weight.name}.", "Compile the model again.")
    return torch._C._aoti.alloc_tensor_by_stealing_from_void_ptr(_capsule(handle))  # noqa: SLF001 - no public one


@cache
def _shim() -> ctypes.CDLL:
    shim = ctypes.CDLL(str(_LIBRARY))  # loaded already, by torch
    integers, integer, short = ctypes.POINTER(ctypes.c_int64), ctypes.c_int64, ctypes.c_int32
    shim.aoti_torch_create_tensor_from_blob_v2.argtypes = [
        ctypes.c_void_p,  # data
        integer,  # dimensions
        integers,
        integers,
        integer,
        short,  # dtype
        short,  # type of device
        short,
        ctypes.POINTER(ctypes.c_void_p),
        short,  # layout
        ctypes.POINTER(ctypes.c_uint8),
        integer,
    ]
    return shim


@cache
def _constant(kind: str, name: str) -> int:
    """Return torch's number for a dtype or layout."""
    try:
        return int(getattr(_shim(), f"aoti_torch_{kind}_{name}")())
    except AttributeError:
        raise ArtifactRefused(
            f"This host's torch has no {kind} {name!r}.", "Compile it with the host's torch."
        ) from None


def _capsule(handle: ctypes.c_void_p) -> Any:
    """Return the pointer in the form in which Python's C interface passes one."""
    make = ctypes.pythonapi.PyCapsule_New
    make.restype = ctypes.py_object
    make.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    return make(handle, None, None)
