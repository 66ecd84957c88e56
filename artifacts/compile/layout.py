"""Wrap a model so that its inside works in other layouts or types than its callers see."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from artifacts.compile.subject import Subject

_IMAGE_DIMENSIONS = 4


class Reshaped(torch.nn.Module):
    """The model with images in channels_last, and its answers in the dtypes of the eager model."""

    def __init__(
        self, inner: torch.nn.Module, dtypes: tuple[torch.dtype, ...], *, channels_last: bool
    ) -> None:
        super().__init__()
        self.inner = inner
        self._dtypes = dtypes
        self._channels_last = channels_last

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Convert, call, convert back."""
        answer = self.inner(*(self._laid_out(tensor) for tensor in inputs))
        return tuple(
            tensor.to(dtype).contiguous() for tensor, dtype in zip(answer, self._dtypes, strict=True)
        )

    def _laid_out(self, tensor: torch.Tensor) -> torch.Tensor:
        if self._channels_last and tensor.dim() == _IMAGE_DIMENSIONS:
            return tensor.contiguous(memory_format=torch.channels_last)
        return tensor


def reshaped(subject: Subject, *, channels_last: bool = False) -> Reshaped:
    """Return a copy of the subject's model behind the wrapper."""
    inner = copy.deepcopy(subject.flat)
    if channels_last:
        inner = inner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    dtypes = tuple(getattr(torch, spec.dtype) for spec in subject.outputs)
    wrapped = Reshaped(inner, dtypes, channels_last=channels_last)
    wrapped.training = False
    return wrapped


def takes_images(subject: Subject) -> bool:
    """Return whether an input is a batch of images, which channels_last is for."""
    return any(len(spec.shape) == _IMAGE_DIMENSIONS and "float" in spec.dtype for spec in subject.inputs)


def precision(*, bf16: bool) -> AbstractContextManager[object]:
    """Return the context a model is recorded in: in bf16, torch decides which operators keep fp32."""
    if not bf16:
        return nullcontext()
    # Without the cache: a cached cast of a weight belongs to no graph that records it.
    return torch.autocast("cpu", torch.bfloat16, cache_enabled=False)
