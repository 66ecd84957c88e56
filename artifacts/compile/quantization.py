"""Dynamic int8: linear layers with int8 weights, activations quantised per request."""

from __future__ import annotations

import copy
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from artifacts.compile.foreign import user_code

if TYPE_CHECKING:
    from collections.abc import Iterator


def has_linear(model: torch.nn.Module) -> bool:
    """Return whether there is a layer that dynamic quantisation knows; TorchScript hides its layers."""
    return any(type(module) is torch.nn.Linear for module in model.modules())


def quantized(model: torch.nn.Module) -> torch.nn.Module:
    """Return a copy with int8 linear layers."""
    from torch.ao.quantization import quantize_dynamic

    with user_code("Quantising"), _quantization_expected():
        made: torch.nn.Module = quantize_dynamic(  # type: ignore[no-untyped-call]
            copy.deepcopy(model), {torch.nn.Linear}, dtype=torch.qint8
        )
        return made


@contextmanager
def _quantization_expected() -> Iterator[None]:
    """Silence torch's advice to move to torchao, whose int8 programs TorchScript cannot record."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*torch\.ao\.quantization is deprecated", DeprecationWarning)
        warnings.filterwarnings("ignore", r".*quantized tensor creation", UserWarning)
        yield
