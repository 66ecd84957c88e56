"""Load AOTInductor packages (`.pt2`) without the public loader's start.

`torch._inductor.aoti_load_package` compiles C++ test programs first, only to fill an advisory warning
(https://github.com/pytorch/pytorch/issues/191715): 2-9 s in a fresh process. Then it writes the whole package
to a temporary directory and copies every weight. Here only the machine code, some hundred kilobytes, is
written out to be opened, and the weights are mapped. What the warning would say, `artifacts.serve.processor`
checks before anything is loaded.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from artifacts.serve.weights import map_file, read_layout, weights_in

if TYPE_CHECKING:
    from collections.abc import Callable

    Answer = list[torch.Tensor]

# What is used here is private: releases it was tried with, all others take the public way.
_DIRECT = ("2.13.",)
_CODE = "data/aotinductor/model/"
WEIGHTS = f"{_CODE}model.wrapper_weights.blob"
# Where the format has room for what it does not know.
# https://docs.pytorch.org/docs/2.13/export/pt2_archive.html
LAYOUT = "extra/weights.json"


def load_package(path: Path, *, version: str = torch.__version__) -> Callable[..., Any]:
    """Return the package's program; it takes tensors by position and returns a list of tensors."""
    reader = torch._C.PyTorchFileReader(str(path)) if version.startswith(_DIRECT) else None  # noqa: SLF001
    if reader is not None and LAYOUT in reader.get_all_records():
        return _direct(path, reader)
    from torch._inductor import aoti_load_package

    return aoti_load_package(str(path))


@dataclass(frozen=True, slots=True)
class _Mapped:
    """A program and the file its weights lie in."""

    runner: torch._C._aoti.AOTIModelContainerRunnerCpu
    file: torch.Tensor

    def __call__(self, *inputs: torch.Tensor) -> Answer:
        return self.runner.run(list(inputs))


def _direct(path: Path, reader: torch._C.PyTorchFileReader) -> _Mapped:
    file = map_file(path)
    start = reader.get_record_offset(WEIGHTS)  # type: ignore[attr-defined]
    weights = weights_in(file, start, read_layout(reader.get_record(LAYOUT)))
    runner = _open_code(reader)
    inactive, complete, ours = False, True, True
    runner.update_constant_buffer(weights, inactive, complete, ours)
    return _Mapped(runner, file)


def _open_code(reader: torch._C.PyTorchFileReader) -> torch._C._aoti.AOTIModelContainerRunnerCpu:
    with tempfile.TemporaryDirectory(prefix="amazonei-code-") as scratch:
        for name in reader.get_all_records():
            if name.startswith(_CODE) and name != WEIGHTS:
                Path(scratch, name.removeprefix(_CODE)).write_bytes(reader.get_record(name))
        (library,) = Path(scratch).glob("*.so")  # stays open when its name is gone
        return torch._C._aoti.AOTIModelContainerRunnerCpu(str(library), 1)  # noqa: SLF001 - see the module
