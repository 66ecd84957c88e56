"""Run TorchScript on an Elastic Inference accelerator, or plainly where its framework is absent.

EI existed for PyTorch 1.3.1 and 1.5.1 only, each with a form of its own
(https://docs.aws.amazon.com/elastic-inference/latest/developerguide/ei-pytorch-using.html).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    Run = Callable[..., Any]


def attach(program: Run, framework: Any, torcheia: ModuleType | None) -> Run:
    """Return a callable that runs the program where this framework (a torch module) would."""
    if torcheia is not None:
        return _attached(program, framework, torcheia)
    if framework.__version__.startswith("1.3."):
        return _targeted(program, framework)
    return program


def _targeted(program: Run, framework: Any) -> Run:
    """1.3.1: the device is named by the optimisation context."""

    def run(*inputs: torch.Tensor) -> Any:
        with torch.no_grad(), framework.jit.optimized_execution(True, {"target_device": "eia:0"}):
            return program(*inputs)

    return run


def _attached(program: Any, framework: Any, torcheia: ModuleType) -> Run:
    """1.5.1: the module is attached to the accelerator, with the profiling executor off."""
    attached = torcheia.jit.attach_eia(program.eval(), 0)
    framework._C._jit_set_profiling_executor(False)  # noqa: SLF001 - AWS's documented form

    def run(*inputs: torch.Tensor) -> Any:
        with torch.no_grad(), framework.jit.optimized_execution(True):
            return attached.forward(*inputs)

    return run


def installed_torcheia() -> ModuleType | None:
    """Return the EI module of PyTorch 1.5.1 environments, if this is one."""
    with contextlib.suppress(ImportError):
        import torcheia

        module: ModuleType = torcheia
        return module
    return None
