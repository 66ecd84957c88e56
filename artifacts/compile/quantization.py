"""int8: linear layers with activations quantised per request, or every layer by ranges seen on examples.

Both are of `torch.ao.quantization`, whose programs TorchScript records and a host runs with torch alone.
"""

from __future__ import annotations

import copy
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from artifacts.compile.foreign import user_code

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from artifacts.compile.subject import Flat, Subject
    from artifacts.serve.sampling import Tensors

_CONVOLUTIONS = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)


def has_linear(model: torch.nn.Module) -> bool:
    """Return whether there is a layer that dynamic quantisation knows; TorchScript hides its layers."""
    return any(type(module) is torch.nn.Linear for module in model.modules())


def has_convolution(model: torch.nn.Module) -> bool:
    """Return whether there is a layer that only static quantisation knows."""
    return any(type(module) in _CONVOLUTIONS for module in model.modules())


def quantized(model: torch.nn.Module) -> torch.nn.Module:
    """Return a copy with int8 linear layers."""
    from torch.ao.quantization import quantize_dynamic

    with user_code("Quantising"), _quantization_expected():
        made: torch.nn.Module = quantize_dynamic(  # type: ignore[no-untyped-call]
            copy.deepcopy(model), {torch.nn.Linear}, dtype=torch.qint8
        )
        return made


def calibrated(subject: Subject, examples: Sequence[Tensors]) -> Flat:
    """Return a copy of the model that computes in int8, in ranges that its activations have on the examples.

    Raises CompileError for a model that torch.fx cannot follow: one that decides by values.
    """
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    mapping = get_default_qconfig_mapping(str(torch.backends.quantized.engine))
    with user_code("Quantising"), torch.no_grad(), _quantization_expected():
        values = subject.flat.call.values(subject.arguments(examples[0]))
        observed = prepare_fx(copy.deepcopy(subject.model), mapping, values)
        for example in examples:
            subject.flat.around(observed)(*subject.arguments(example))
        return subject.flat.around(convert_fx(observed))


@contextmanager
def _quantization_expected() -> Iterator[None]:
    """Silence torch's advice to move to torchao, whose int8 programs TorchScript cannot record."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*torch\.ao\.quantization is deprecated", DeprecationWarning)
        warnings.filterwarnings("ignore", r".*quantized tensor creation", UserWarning)
        # Of its own defaults, to its own observers.
        warnings.filterwarnings("ignore", r"Please use quant_min and quant_max", UserWarning)
        yield
