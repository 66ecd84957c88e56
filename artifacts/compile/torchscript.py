"""Make TorchScript by tracing and by scripting, and write it without paths of this machine."""

from __future__ import annotations

import io
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch.jit._trace import TracerWarning

from artifacts.compile.adapter import adapted
from artifacts.compile.foreign import user_code
from artifacts.compile.places import Place, Surroundings
from artifacts.errors import CompileError
from artifacts.serve.program import torchscript_expected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from artifacts.compile.subject import Subject
    from artifacts.serve.sampling import Tensors

# Written by the archive writer itself.
_WRITER_OWNED = frozenset({"version", "byteorder", ".data/serialization_id"})
_WRITER_PREFIXES = (".format_version", ".storage_alignment")


# What the tracer says when it hands Python a value, by which Python may decide.
_CONVERSION = "Converting a tensor to a Python "


@dataclass(frozen=True, slots=True)
class Warned:
    """Something the tracer warned of."""

    place: Place
    sentence: str

    @property
    def conversion(self) -> bool:
        """Return whether Python was handed a value."""
        return self.sentence.startswith((_CONVERSION, "Converting a tensor to a NumPy array"))

    def __str__(self) -> str:
        return f"{self.place}: {self.sentence}"


@dataclass(frozen=True, slots=True)
class Program:
    """A TorchScript module, and what the tracer warned about."""

    module: torch.jit.ScriptModule
    warned: tuple[Warned, ...] = ()
    erased: tuple[str, ...] = ()  # those that are about control flow by values, found afterwards


def trace(subject: Subject, example: Tensors) -> Program:
    """Record one run; branches and loops that depend on values become whatever that run did."""
    if isinstance(subject.model, torch.jit.ScriptModule):
        raise CompileError("the model is TorchScript already")
    with (
        user_code("Tracing"),
        torch.no_grad(),
        torchscript_expected(),
        _tracer_heard(Surroundings(subject.model)) as warned,
    ):
        # Our parity check replaces torch's own, which reuses the very inputs it traced.
        module = torch.jit.trace(  # type: ignore[no-untyped-call]
            subject.flat, subject.arguments(example), check_trace=False, strict=False
        )
    return Program(_scripted(module), tuple(dict.fromkeys(warned)))


@contextmanager
def _tracer_heard(surroundings: Surroundings) -> Iterator[list[Warned]]:
    """Collect the tracer's warnings with the user's line, also where torch's own Python was running."""
    heard: list[Warned] = []

    def hear(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        place = surroundings.place() if category is TracerWarning else None
        if place is not None:
            heard.append(Warned(place, str(message).split(". ")[0].strip()))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # looking at every attribute wakes every deprecation there is
        warnings.simplefilter("always", TracerWarning)
        warnings.showwarning = hear
        yield heard


def script(subject: Subject) -> Program:
    """Translate the model's Python; keeps all control flow, and refuses Python it does not know."""
    if isinstance(subject.model, torch.jit.ScriptModule):
        return Program(as_called(subject, subject.model))
    with user_code("Scripting"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # looking at every attribute wakes every deprecation there is
        module = _scripted(torch.jit.script(subject.model))
    return Program(as_called(subject, module))


def as_called(subject: Subject, module: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """Return a script of the model that takes tensors by position: itself, where nothing has to be made."""
    call = subject.flat.call
    return module if call.direct else adapted(module, call, len(subject.inputs))


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
    rewrite(buffer, path, lambda name: name.endswith(".debug_pkl"))


def rewrite(
    source: Path | io.BytesIO,
    path: Path,
    unwanted: Callable[[str], bool],
    added: Mapping[str, bytes] = MappingProxyType({}),
) -> None:
    """Write a PyTorch archive again under its new name: without some records, and with others."""
    reader = torch._C.PyTorchFileReader(source if isinstance(source, io.BytesIO) else str(source))  # noqa: SLF001 - torch offers no public reader
    kept = (
        (name, reader.get_record(name))
        for name in reader.get_all_records()
        if not (unwanted(name) or name in _WRITER_OWNED or name.startswith(_WRITER_PREFIXES))
    )
    write_records(chain(kept, added.items()), path)


def write_records(records: Iterable[tuple[str, bytes]], path: Path) -> None:
    """Write a PyTorch archive of these records, by their names in it."""
    written = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(written)  # noqa: SLF001 - torch offers no public writer
    for name, content in records:
        writer.write_record(name, content, len(content))
    writer.write_end_of_file()
    path.write_bytes(written.getbuffer())
