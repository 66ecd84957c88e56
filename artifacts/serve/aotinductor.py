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

from artifacts.serve.weights import Weight, map_file, read_layout, weights_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Answer = list[torch.Tensor]

# What is used here is private: releases it was tried with, all others take the public way.
_DIRECT = ("2.13.",)


def code_of(part: str = "") -> str:
    """Return what the names of a program's records begin with; a package has one, or one for each part."""
    return f"data/aotinductor/model{part and f'-{part}'}/"


def layout_of(part: str = "") -> str:
    """Return the record that says how a program's weights lie.

    It is where the format has room for what it does not know.
    https://docs.pytorch.org/docs/2.13/export/pt2_archive.html
    """
    return f"extra/weights{part and f'-{part}'}.json"


WEIGHTS = f"{code_of()}model.wrapper_weights.blob"  # of all parts
LAYOUT = layout_of()


def load_package(path: Path, *, version: str = torch.__version__) -> Callable[..., Any]:
    """Return the package's program; it takes tensors by position and returns a list of tensors."""
    reader = torch._C.PyTorchFileReader(str(path)) if version.startswith(_DIRECT) else None  # noqa: SLF001
    if reader is not None and LAYOUT in reader.get_all_records():
        return _direct(map_file(path), reader)
    from torch._inductor import aoti_load_package

    return aoti_load_package(str(path))


def load_parts(path: Path, parts: Iterable[str]) -> dict[str, Callable[..., Any]]:
    """Return the programs of a package that holds several; weights that are equal are one.

    Such a package is opened by the release of torch that made it (`refuse_unfit`), never the public way.
    """
    reader, file = torch._C.PyTorchFileReader(str(path)), map_file(path)  # noqa: SLF001 - see the module
    return {part: _direct(file, reader, part) for part in parts}


@dataclass(frozen=True, slots=True)
class _Mapped:
    """A program and the file its weights lie in."""

    runner: torch._C._aoti.AOTIModelContainerRunnerCpu
    file: torch.Tensor

    def __call__(self, *inputs: torch.Tensor) -> Answer:
        return self.runner.run(list(inputs))


def package_layout(path: Path, part: str = "") -> tuple[Weight, ...]:
    """Return how a program's weights lie in a package that the compiler made."""
    return read_layout(torch._C.PyTorchFileReader(str(path)).get_record(layout_of(part)))  # noqa: SLF001 - see the module


def _direct(file: torch.Tensor, reader: torch._C.PyTorchFileReader, part: str = "") -> _Mapped:
    start = reader.get_record_offset(WEIGHTS)  # type: ignore[attr-defined]
    weights = weights_in(file, start, read_layout(reader.get_record(layout_of(part))))
    runner = _open_code(reader, code_of(part))
    inactive, complete, ours = False, True, True
    runner.update_constant_buffer(weights, inactive, complete, ours)
    return _Mapped(runner, file)


def _open_code(reader: torch._C.PyTorchFileReader, prefix: str) -> torch._C._aoti.AOTIModelContainerRunnerCpu:
    with tempfile.TemporaryDirectory(prefix="amazonei-code-") as scratch:
        for name in reader.get_all_records():
            if name.startswith(prefix) and name != WEIGHTS:
                Path(scratch, name.removeprefix(prefix)).write_bytes(reader.get_record(name))
        (library,) = Path(scratch).glob("*.so")  # stays open when its name is gone
        return torch._C._aoti.AOTIModelContainerRunnerCpu(str(library), 1)  # noqa: SLF001 - see the module
