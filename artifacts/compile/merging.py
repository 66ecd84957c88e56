"""Put the programs of an artifact's sizes into one file, in which equal weights are one.

TorchScript keeps equal constants once in a file, and tensors that share their memory; what is one in the file
is one in the memory of who loads it. Machine code finds its weights by a layout beside it, and the layouts of
two programs may name the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING

import torch

from artifacts.compile.foreign import user_code
from artifacts.compile.isolation import Outcome, isolated
from artifacts.compile.torchscript import save, write_records
from artifacts.errors import CompileError
from artifacts.serve.aotinductor import LAYOUT, WEIGHTS, code_of, layout_of
from artifacts.serve.program import AOTINDUCTOR, NO_PREPARATION, TORCHSCRIPT, load_program, part_name
from artifacts.serve.weights import Weight, read_layout, write_layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    Programs = Mapping[str, Path]  # by the sizes they are for

_MERGE_S = 600.0
_ALIGNMENT = 64  # bytes, as in PyTorch's archives and Inductor's own weights


def merged(programs: Programs, kind: str, path: Path) -> Outcome[Path]:
    """Write all programs of one kind to one file; the outcome has the reason where that cannot be done."""
    merge = {TORCHSCRIPT: _torchscript, AOTINDUCTOR: _machine_code}.get(kind)
    if merge is None:
        return Outcome(None, f"{kind} programs are loaded one by one")

    def work() -> str:
        try:
            merge(programs, path)
        except CompileError as error:
            return error.message
        return ""

    # In a fork: torch numbers the classes that a process makes, and the numbers are part of the bytes.
    outcome = isolated(work, _MERGE_S)
    return Outcome(path) if outcome.answer == "" else Outcome(None, outcome.answer or outcome.reason)


class Together(torch.nn.Module):
    """Holds a program for each size."""


def _torchscript(programs: Programs, path: Path) -> None:
    together, held = Together(), dict[str, torch.Tensor]()
    with user_code("Putting the programs together"):
        for key, file in programs.items():
            program = load_program(file, NO_PREPARATION)
            _share(program, held)
            together.add_module(part_name(key), program)
        save(torch.jit.script(together), path)


def _share(program: torch.jit.ScriptModule, held: dict[str, torch.Tensor]) -> None:
    """Let weights use the memory of an equal one in `held`, where all are noted by content."""
    for module in program.modules():
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for name, tensor in own:
            setattr(module, name, held.setdefault(_content(tensor), tensor))


def _content(tensor: torch.Tensor) -> str:
    described = f"{tensor.dtype} {tuple(tensor.shape)} {tensor.stride()} {type(tensor).__name__} "
    content = tensor.detach().contiguous().flatten().view(torch.uint8)
    return described + hashlib.sha256(content.numpy().data).hexdigest()


def _machine_code(programs: Programs, path: Path) -> None:
    with user_code("Putting the programs together"):
        readers = {key: torch._C.PyTorchFileReader(str(file)) for key, file in programs.items()}  # noqa: SLF001 - as in torchscript
        write_records(_records(readers), path)


def _records(readers: Mapping[str, torch._C.PyTorchFileReader]) -> Iterator[tuple[str, bytes]]:
    """Yield each program's code and layout, then the weights of all."""
    weights, starts = bytearray(), dict[bytes, int]()
    for key, reader in readers.items():
        record = reader.get_record(WEIGHTS)
        layout = [
            _placed(weight, record, weights, starts) for weight in read_layout(reader.get_record(LAYOUT))
        ]
        yield layout_of(key), write_layout(layout)
        for name in reader.get_all_records():
            if name.startswith(code_of()) and name != WEIGHTS:
                yield name.replace(code_of(), code_of(key)), reader.get_record(name)
    yield WEIGHTS, bytes(weights)


def _placed(weight: Weight, record: bytes, weights: bytearray, starts: dict[bytes, int]) -> Weight:
    """Return where the weight's bytes are among those of all programs, added if they are new."""
    content = record[weight.start : weight.start + weight.size]
    digest = hashlib.sha256(content).digest()
    if digest not in starts:
        weights += bytes(-len(weights) % _ALIGNMENT)
        starts[digest] = len(weights)
        weights += content
    return dataclasses.replace(weight, start=starts[digest])
