"""Run the compiler in a process of its own.

The user's model is the user's code: it may print, set global state, or crash. It runs in a child, so that
the command line stays light (torch is never imported here), stdout stays the answer's, and a crash of a
native library is an error message instead of the end of the tool.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts.compile.environment import VARIABLES
from artifacts.compile.flags import FLAGS, check_flags, written
from artifacts.compile.request import CompileRequest, CompileResult, Lanes, Method
from artifacts.errors import (
    AmazoneiError,
    ArtifactRefused,
    BadRequest,
    CompileError,
    ToolchainMissing,
    VerificationFailed,
)
from artifacts.specs import padded, parse_pads, parse_specs
from artifacts.targets import Family, find
from provisioning.config import parse_model
from provisioning.shared_cache import attended

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from provisioning.settings import Settings
    from provisioning.shared_cache import SharedCache

_FAMILIES: dict[str, type[AmazoneiError]] = {
    family.code: family
    for family in (ArtifactRefused, BadRequest, CompileError, ToolchainMissing, VerificationFailed)
}

# Where the signing key lies, and its password: nothing that the user's model, which runs there, should see.
# The cache's bucket: nothing that a model's answers hang on, so naming another is no reason to compile again.
_PRIVATE = ("AMAZONEI_SIGN_KEY", "AMAZONEI_CACHE_BUCKET")


def _unwatched(_: subprocess.Popen[str]) -> None:
    """Nobody else ends the process."""


def compile_model(
    request: CompileRequest,
    say: Callable[[str], None],
    started: Callable[[subprocess.Popen[str]], None] = _unwatched,
    shared: SharedCache | None = None,
) -> CompileResult:
    """Compile in a child process, passing its progress lines to `say` and the process to `started`.

    Where nothing here is left of an equal race, the shared cache is asked, and is sent what was raced.

    Raises the compiler's own error: `BadRequest` for a model or input spec that cannot be, `CompileError`
    and its family when no artifact that gives the same answers could be made.
    """
    refuse_unwritable(request.out_dir)
    with tempfile.TemporaryDirectory(prefix="amazonei-compile-") as scratch:
        request_file, result_file = Path(scratch, "request.json"), Path(scratch, "result.json")
        request_file.write_bytes(request.to_json())
        arguments = ["-m", "artifacts.compile", "--request", str(request_file), "--result", str(result_file)]
        with attended(shared if request.cache else None) as line:
            arguments += [word for descriptor in line.descriptors for word in ("--beyond", str(descriptor))]
            code, tail = _run(arguments, Path(scratch), say, started, line.descriptors)
        if not result_file.exists():
            raise CompileError(f"The compiler process ended with {_ending(code)} and no result.", _last(tail))
        document: dict[str, Any] = json.loads(result_file.read_text(encoding="utf-8"))
    raise_error(document)
    result = CompileResult.from_document(document)
    return result if shared is None else _shared(result, shared, line.kept, say)


def refuse_unwritable(directory: Path) -> None:
    """Make the directory for artifacts; raises BadRequest, before the work, where none can be written."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return
    except OSError as error:
        raise BadRequest(
            f"No artifact can be written to {directory}: {error.strerror}.",
            "Choose another folder with --out.",
        ) from error


def _shared(
    result: CompileResult, shared: SharedCache, kept: Sequence[str], say: Callable[[str], None]
) -> CompileResult:
    """Send what was raced; return the result with what went wrong with the shared cache."""
    for key in kept:
        shared.publish(key, say)
    return replace(result, warnings=(*result.warnings, *shared.take_warnings()))


def raise_error(document: dict[str, Any]) -> None:
    """Raise the error a child process reported, in the family it named; return when there is none."""
    error = document.get("error")
    if error:
        raise _FAMILIES.get(error["code"], CompileError)(error["message"], error.get("hint", ""))


def _run(
    arguments: Sequence[str],
    scratch: Path,
    say: Callable[[str], None],
    started: Callable[[subprocess.Popen[str]], None] = _unwatched,
    descriptors: Sequence[int] = (),
) -> tuple[int, list[str]]:
    """Run this interpreter with the arguments; return its exit code and its last lines of output.

    What it, or g++, leaves in the directory for temporary files is the caller's to remove: it may be killed.
    """
    tail: list[str] = []
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_PRIVATE)}
    environment |= VARIABLES | {"PYTHONUNBUFFERED": "1", "TMPDIR": str(scratch)}
    with subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # what the model prints is progress too: our stdout is the answer's
        text=True,
        errors="replace",
        env=environment,
        pass_fds=descriptors,
        start_new_session=True,  # Ctrl-C is ours to handle: we end the compiler and all it has started
    ) as process:
        started(process)
        try:
            for line in process.stdout or ():
                tail = [*tail[-40:], line.rstrip()]
                say(line.strip())
            process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, tail


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _last(tail: Sequence[str]) -> str:
    words = [line for line in tail if line.strip()]
    return "Its last words:\n" + "\n".join(words[-8:]) if words else "It said nothing."


def inspect_artifact(path: Path, say: Callable[[str], None], other: Path | None = None) -> dict[str, Any]:
    """Return what is inside the artifact, or differs from another, read in a child process once verified."""
    paths = [path] if other is None else [path, other]
    for each in paths:
        if not each.is_file():
            raise BadRequest(
                f"There is no artifact {each}.", "Make one with: amazonei compile MODEL --target T"
            )
    with tempfile.TemporaryDirectory(prefix="amazonei-inspect-") as scratch:
        result_file = Path(scratch, "result.json")
        arguments = ["-m", "artifacts.compile.inspect", *map(str, paths), "--result", str(result_file)]
        code, tail = _run(arguments, Path(scratch), say)
        if not result_file.exists():
            raise CompileError(f"The inspection ended with {_ending(code)}.", _last(tail))
        document: dict[str, Any] = json.loads(result_file.read_text(encoding="utf-8"))
    raise_error(document)
    return document


def compile_request(
    document: Mapping[str, Any], settings: Settings, model: str | None, wanted: Mapping[str, Any]
) -> CompileRequest:
    """Return what to compile: what was typed over what the configuration file says; `BadRequest` else."""
    section = dict(document.get("model") or {})
    if model is not None and model != section.get("source"):
        section = {"source": model}  # another model: the configured inputs are not its own
    given = {key: list(wanted.get(key) or ()) or None for key in ("inputs", "pads")}
    given |= {key: wanted.get(key) for key in ("atol", "method", "lanes", "labels", "max_accuracy_drop")}
    section |= {key: value for key, value in given.items() if value is not None}
    config = parse_model({"model": section})
    target = find(wanted["target"] or _first_target(document)).name
    # Seconds before the compiler's process would say the same.
    padded(parse_specs(config.inputs), parse_pads(config.pads))
    flags = _flags(document, target, wanted)
    check_flags(flags, find(target))
    return CompileRequest(
        model=config.source,
        inputs=config.inputs,
        pads=config.pads,
        flags=written(flags),
        target=target,
        method=Method(config.method),
        atol=config.atol,
        out_dir=wanted["out"] or settings.work_dir,
        stand_in=needs_stand_in(target, emulated=settings.emulated),
        # An emulated host's times decide nothing, so its compile need not take a minute.
        lanes=Lanes(config.lanes or ("quick" if settings.emulated else "all")),
        labels=config.labels,
        max_accuracy_drop=config.max_accuracy_drop,
        cache=not wanted.get("no_cache"),
    )


def _flags(document: Mapping[str, Any], target: str, wanted: Mapping[str, Any]) -> dict[str, str]:
    """Return what was typed for the Neuron compiler over what the target's table says."""
    rows = [row for row in document.get("targets") or [] if isinstance(row, dict)]
    filed: object = next((row.get("compiler", {}) for row in rows if row.get("accelerator") == target), {})
    if not isinstance(filed, dict):
        raise BadRequest(
            "'compiler' of a target is not a table.", 'Write compiler = { auto-cast = "matmult" }.'
        )
    typed = {name: wanted.get(name.replace("-", "_")) for name in FLAGS}
    said = filed | {name: value for name, value in typed.items() if value is not None}
    return {name: str(value).lower() for name, value in said.items()}


def _first_target(document: Mapping[str, Any]) -> str:
    targets = document.get("targets") or []
    try:
        return str(targets[0]["accelerator"])
    except (IndexError, KeyError, TypeError):
        raise BadRequest("No target was named.", "Pass --target, for example --target c7i.xlarge.") from None


def needs_stand_in(target: str, *, emulated: bool) -> bool:
    """Return whether the target's program must be stood in for: its accelerator is only emulated.

    An emulated host has a CPU and nothing else, so anything but a CPU target is served there by a CPU
    program whose lane says so.
    """
    return emulated and find(target).family is not Family.CPU
