"""The safetensors format with torch alone.

An endpoint's container cannot install anything (its network is isolated), and AWS's images do not promise
the safetensors library; the format is an 8-byte little-endian length, that many bytes of JSON, and the
tensors' bytes (https://huggingface.co/docs/safetensors/index#format). Tests hold it against the library.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

from artifacts.errors import BadRequest

if TYPE_CHECKING:
    from artifacts.serve.sampling import Tensors

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_LENGTH_BYTES = 8
_NOTE = "__metadata__"


def read_safetensors(data: bytes) -> Tensors:
    """Return the tensors of a safetensors file; raises BadRequest when it is none."""
    try:
        length = int.from_bytes(data[:_LENGTH_BYTES], "little")
        header = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + length])
        content = memoryview(bytearray(data[_LENGTH_BYTES + length :]))  # torch wants writable memory
        return {name: _tensor(content, entry) for name, entry in header.items() if name != _NOTE}
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, RecursionError) as error:
        raise BadRequest(f"The body is not safetensors: {error}.") from error


def _tensor(content: memoryview, entry: dict[str, Any]) -> torch.Tensor:
    begin, end = entry["data_offsets"]
    dtype = _DTYPES[entry["dtype"]]
    if not 0 <= begin <= end <= len(content):
        raise ValueError(f"{begin}..{end} lies outside of the {len(content)} bytes")
    flat = (
        torch.frombuffer(content[begin:end], dtype=torch.uint8)
        if end > begin
        else torch.empty(0, dtype=torch.uint8)
    )
    return flat.clone().view(dtype).reshape(entry["shape"])


def write_safetensors(tensors: Tensors) -> bytes:
    """Return the tensors as a safetensors file; its header is padded as the library pads it."""
    header: dict[str, Any] = {}
    parts: list[bytes] = []
    begin = 0
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        part = plain.reshape(-1).view(torch.uint8).numpy().tobytes()
        header[name] = {
            "dtype": _NAMES[plain.dtype],
            "shape": list(plain.shape),
            "data_offsets": [begin, begin + len(part)],
        }
        begin += len(part)
        parts.append(part)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH_BYTES)
    return b"".join([len(text).to_bytes(_LENGTH_BYTES, "little"), text, *parts])
