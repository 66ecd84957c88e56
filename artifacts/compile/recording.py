"""Trace a model another time, when the first trace showed that it can be and what it erases."""

from __future__ import annotations

import warnings

import torch

from artifacts.compile.foreign import user_code
from artifacts.errors import CompileError
from artifacts.serve.program import torchscript_expected


def record(model: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> torch.jit.ScriptModule:
    """Return the trace of one run."""
    with user_code("Tracing"), torch.no_grad(), torchscript_expected(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the first trace told what there is to tell
        module = torch.jit.trace(model, example, check_trace=False, strict=False)  # type: ignore[no-untyped-call]
    if not isinstance(module, torch.jit.ScriptModule):
        raise CompileError(f"TorchScript made a {type(module).__name__}.")
    return module
