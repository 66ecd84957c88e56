"""Make TorchScript by tracing and by scripting, and write it without paths of this machine."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.jit._trace import TracerWarning

from artifacts.compile.foreign import shown, user_code
from artifacts.errors import CompileError
from artifacts.serve.program import torchscript_expected

if TYPE_CHECKING:
    from artifacts.compile.subject import Subject
    from artifacts.serve.sampling import Tensors

# Written by the archive writer itself.
_WRITER_OWNED = frozenset({"version", "byteorder", ".data/serialization_id"})
_WRITER_PREFIXES = (".format_version", ".storage_alignment")


@dataclass(frozen=True, slots=True)
class Program:
    """A TorchScript module and what the tracer warned about (control flow it erased)."""

    module: torch.jit.ScriptModule
    erased: tuple[str, ...] = ()


def trace(subject: Subject, example: Tensors) -> Program:
    """Record one run; branches and loops that depend on values become whatever that run did."""
    if isinstance(subject.model, torch.jit.ScriptModule):
        raise CompileError("the model is TorchScript already")
    with (
        user_code("Tracing"),
        torch.no_grad(),
        torchscript_expected(),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always", TracerWarning)
        # Our parity check replaces torch's own, which reuses the very inputs it traced.
        module = torch.jit.trace(  # type: ignore[no-untyped-call]
            subject.flat, subject.arguments(example), check_trace=False, strict=False
        )
    erased = [_place(warning) for warning in caught if warning.category is TracerWarning]
    return Program(_scripted(module), tuple(dict.fromkeys(erased)))


def _place(warning: warnings.WarningMessage) -> str:
    sentence = str(warning.message).split(". ")[0].strip()
    return f"{shown(Path(warning.filename), warning.lineno)}: {sentence}"


def script(subject: Subject) -> Program:
    """Translate the model's Python; keeps all control flow, and refuses Python it does not know."""
    if isinstance(subject.model, torch.jit.ScriptModule):
        return Program(subject.model)
    if subject.scriptable:
        raise CompileError(f"Scripting is not possible: {subject.scriptable}.")
    with user_code("Scripting"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # looking at every attribute wakes every deprecation there is
        return Program(_scripted(torch.jit.script(subject.model)))


def _scripted(module: object) -> torch.jit.ScriptModule:
    if not isinstance(module, torch.jit.ScriptModule):
        raise CompileError(f"TorchScript made a {type(module).__name__}.")
    return module


def freeze(module: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """Fold parameters into constants and constants into each other."""
    with user_code("Freezing"), torchscript_expected():
        return _scripted(torch.jit.freeze(module.eval()))


def save(module: torch.jit.ScriptModule, path: Path) -> None:
    """Write the module without its debug records, which carry the source paths of this machine."""
    buffer = io.BytesIO()
    with user_code("Saving"), torchscript_expected():
        torch.jit.save(module, buffer)
    buffer.seek(0)
    reader = torch._C.PyTorchFileReader(buffer)  # noqa: SLF001 - torch offers no public reader
    stripped = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(stripped)  # noqa: SLF001 - nor a public writer
    for name in reader.get_all_records():
        if not _machine_bound(name):
            record = reader.get_record(name)
            writer.write_record(name, record, len(record))
    writer.write_end_of_file()
    path.write_bytes(stripped.getvalue())


def _machine_bound(name: str) -> bool:
    return name.endswith(".debug_pkl") or name in _WRITER_OWNED or name.startswith(_WRITER_PREFIXES)
