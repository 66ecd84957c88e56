"""Compile on the host: the user's model is unpacked, compiled by another user within limits, and sent back.

The compiler is the tool's own, as it runs at home, and its SDK the host's. What it makes on an emulated host,
whose SDK can only be a double, is marked so in the artifact itself: no host on AWS takes it.
"""

from __future__ import annotations

import json
import os
import platform
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import zipfile
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts import archive
from artifacts.errors import ArtifactRefused, BadRequest, CompileError
from artifacts.serve.environments import enter_environment

if TYPE_CHECKING:
    from artifacts.serve.installation import Host
    from artifacts.serve.requests import CompileOnHostRequest

USER = "amazonei"  # of boot.sh; nobody else's files are its own
MEMORY_SHARE = 0.9  # of the host's memory, for each process of the compiler
MARK = "emulated-"
_CPU_COMPILERS = frozenset({"torchscript"})
_WITHHELD = ("AWS_", "SSM_")
_TAIL = 15
# A limit of data in KiB, then the program in the shell's place; what that starts inherits the limit.
_LIMITED = ("/bin/sh", "-c", 'ulimit -d "$1" && shift && exec "$@"', "sh")


def compile_here(host: Host, request: CompileOnHostRequest) -> dict[str, Any]:
    """Compile what was asked for; return the compiler's result document and where the artifact is.

    A model that cannot be compiled is an answer too: the document then holds the compiler's own error.
    """
    if request.instance_id != host.settings.instance_id:
        return {"compiled": None}
    if request.accelerator != host.settings.accelerator:
        raise ArtifactRefused(
            f"The model is for {request.accelerator}; this host is {host.settings.accelerator}."
        )
    enter_environment(host, request.wheelhouse)
    with tempfile.TemporaryDirectory(dir=host.settings.home, prefix=".compile-") as folder:
        scratch = Path(folder)
        code, model, out = (scratch / name for name in ("code", "model", "out"))
        for directory in (code, model, out):
            directory.mkdir()
        _unpack(host, f"artifacts/bundles/{request.code}.zip", request.code, code)
        if request.source:
            _unpack(host, f"artifacts/sources/{request.source}.zip", request.source, model)
        wanted = {**request.compile, "out_dir": str(out), "cache": False}
        (scratch / "request.json").write_text(json.dumps(wanted), encoding="utf-8")
        _give_away(scratch)
        document = _compiled(host, scratch, request.timeout_s)
        if not document.get("ok"):
            return {"compiled": document}
        own = scratch / "own"
        own.mkdir(mode=0o700)
        return {"compiled": document, **_sent(host, request, document, own)}


def _unpack(host: Host, key: str, digest: str, folder: Path) -> None:
    """Bring an archive that has this digest and unpack it; a name in it that leads out is refused."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetched-") as scratch:
        path = Path(scratch, "archive.zip")
        host.progress(f"fetching {key}")
        host.storage.fetch_verified(key, path, digest)
        with zipfile.ZipFile(path) as packed:
            for name in packed.namelist():
                if name.startswith("/") or ".." in Path(name).parts:
                    raise BadRequest(f"The archive has a file outside of it: {name!r}.")
            packed.extractall(folder)


def _give_away(scratch: Path) -> None:
    """Let the compiler's user read its folder and own what it writes, where the command runs as root."""
    scratch.chmod(0o711)
    (scratch / "request.json").chmod(0o644)
    other = _other_user()
    if other is not None:
        for path in (scratch / "out", scratch / "model", *(scratch / "model").rglob("*")):
            os.chown(path, other.pw_uid, other.pw_gid)


def _other_user() -> pwd.struct_passwd | None:
    """Return who compiles instead of root; None where the command has no privileges to give up."""
    with suppress(KeyError):
        return pwd.getpwnam(USER) if os.geteuid() == 0 else None
    return None


def _compiled(host: Host, scratch: Path, timeout_s: int) -> dict[str, Any]:
    """Run the compiler in a process group of its own; return its document, or why there is none."""
    result = scratch / "out" / "result.json"
    command = [host.settings.python, "-m", "artifacts.compile"]
    command += ["--request", str(scratch / "request.json"), "--result", str(result)]
    host.progress(f"compiling with {host.settings.python}")
    with (scratch / "out" / "log").open("w+", encoding="utf-8", errors="replace") as log:
        process = _start(command, scratch, host.settings.base_python, log.fileno())
        try:
            code = process.wait(timeout_s)
            ending = f"signal {-code}" if code < 0 else f"exit code {code}"
        except subprocess.TimeoutExpired:
            ending = f"the time limit of {timeout_s} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.seek(0)
        tail = [line.rstrip() for line in log if line.strip()][-_TAIL:]
    for line in tail:
        host.progress(line.strip())
    with suppress(CompileError, ValueError):
        _take(result, scratch / "result.json")
        document: dict[str, Any] = json.loads((scratch / "result.json").read_bytes())
        return document
    error = CompileError(
        f"The compiler ended with {ending} and no result on {host.settings.instance_id}.",
        "Its last words:\n" + "\n".join(tail[-8:]) if tail else "It said nothing.",
    )
    return {"ok": False, "error": error.as_document()}


def _start(command: list[str], scratch: Path, base_python: str, log: int) -> subprocess.Popen[bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_WITHHELD)}
    # neuronx-cc and neuron-cc are programs beside the image's interpreter.
    programs = [str(Path(python).parent) for python in (command[0], base_python)]
    environment = kept | {
        "PATH": os.pathsep.join([*programs, kept.get("PATH", "")]),
        "PYTHONPATH": str(scratch / "code"),
        "PYTHONUNBUFFERED": "1",
        "HOME": str(scratch / "out"),
        "TMPDIR": str(scratch / "out"),
        "XDG_CACHE_HOME": str(scratch / "out" / "cache"),
    }
    unprivileged: dict[str, Any] = {}
    other = _other_user()
    if other is not None:
        unprivileged = {"user": other.pw_uid, "group": other.pw_gid, "extra_groups": []}
    most = int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * MEMORY_SHARE)
    return subprocess.Popen(
        [*_LIMITED, str(most // 1024), *command],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=environment,
        cwd=scratch / "model",
        start_new_session=True,
        **unprivileged,
    )


def _sent(
    host: Host, request: CompileOnHostRequest, document: dict[str, Any], folder: Path
) -> dict[str, Any]:
    """Put the artifact into the bucket; return its key, size and digest, and the compiling machine."""
    made = folder / "artifact.aei"
    _take(folder.parent / "out" / Path(str(document["artifact"])).name, made)
    if host.settings.emulated:
        made = _marked(made, document)
    with closing(archive.open_verified(made, target=request.accelerator)) as contents:
        document["digest"] = contents.manifest.digest
        document["artifact"] = archive.archive_name(contents.manifest)
    file = archive.digest_file(made, "artifact.aei")
    key = f"results/{request.id}/{host.settings.instance_id}.aei"
    host.progress(f"sending {document['artifact']} ({file.bytes / 1e6:.1f} MB)")
    host.storage.put_file(key, made)
    return {
        "artifact": {"key": key, "bytes": file.bytes, "sha256": file.sha256},
        "machine": {"architecture": platform.machine(), "instance_id": host.settings.instance_id},
    }


def _take(source: Path, copy: Path) -> None:
    """Copy a file that another user could still change, and that is followed nowhere; raises CompileError."""
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as stream, copy.open("wb") as target:  # noqa: PTH123 - a descriptor
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise CompileError(f"{source.name} is not a file of the compiler's.")
            shutil.copyfileobj(stream, target)
    except OSError as error:
        raise CompileError(f"The compiler left no {source.name}: {error.strerror}.") from error


def _marked(made: Path, document: dict[str, Any]) -> Path:
    """Return the artifact, marked for what it is: an emulated host has a double of the accelerator's SDK.

    A CPU's compiler is the same everywhere, so its artifact is the one that would be made at home.
    """
    with closing(archive.open_verified(made)) as contents:
        manifest = contents.manifest
        if manifest.toolchain.compiler in _CPU_COMPILERS:
            return made
        unpacked = made.parent / "unpacked"
        unpacked.mkdir()
        contents.unpack(unpacked)
    version = f"{manifest.toolchain.compiler_version}+emulated"
    marked = replace(
        manifest,
        lane=f"{MARK}{manifest.lane}",
        stand_in=True,  # which hosts on AWS refuse
        toolchain=replace(manifest.toolchain, compiler_version=version),
    )
    document["warnings"].append(
        f"{marked.lane}: compiled by the {manifest.toolchain.compiler} {version} of an emulated host, which "
        "proves the way and makes no program for the accelerator."
    )
    for lane in document["lanes"]:
        lane["lane"] = f"{MARK}{lane['lane']}"
    document |= {"lane": marked.lane, "stand_in": True}
    return archive.pack(marked, {file.path: unpacked / file.path for file in manifest.files}, made.parent)
