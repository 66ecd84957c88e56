"""Load AOTInductor packages (`.pt2`) without the public loader's start.

`torch._inductor.aoti_load_package` compiles C++ test programs first, only to fill an advisory warning
(https://github.com/pytorch/pytorch/issues/191715): 2-9 s in a fresh process. Its own loader underneath takes
hundredths; what the warning would say, `artifacts.serve.processor` checks before anything is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Answer = list[torch.Tensor]

# The loader is private: releases it was tried with, all others take the public way.
_DIRECT = ("2.13.",)
_MODEL = "model"


def load_package(path: Path, *, version: str = torch.__version__) -> Callable[..., Any]:
    """Return the package's program; it takes tensors by position and returns a list of tensors."""
    if version.startswith(_DIRECT):
        return _direct(path)
    from torch._inductor import aoti_load_package

    return aoti_load_package(str(path))


def _direct(path: Path) -> Callable[..., Answer]:
    single_threaded, runners, device = True, 1, -1  # a worker answers one request at a time
    loader = torch._C._aoti.AOTIModelPackageLoader(  # noqa: SLF001 - see the module
        str(path), _MODEL, single_threaded, runners, device
    )

    def run(*inputs: torch.Tensor) -> Answer:
        return loader.run(list(inputs))

    return run
