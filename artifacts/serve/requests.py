"""What the tool asks of a host: one document per operation, named by the SHA-256 of its bytes.

The tool writes `artifacts/requests/<sha256>.json`; the host fetches it by that digest, so a request can be
neither guessed nor altered on the way. A response is a plain JSON object: {"ok": true, …} or
{"ok": false, "error": {"code", "message", "hint"}}.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from artifacts import canonical
from artifacts.canonical import SHA256_HEX, Fields
from artifacts.errors import BadRequest
from artifacts.serve.scale import Scale
from artifacts.signature import PublicKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
OBJECT_KEY = re.compile(r"artifacts/[A-Za-z0-9/_.-]{1,200}")
MOST_LOG_LINES = 2000
_SHA256_OR_NONE = re.compile(rf"(?:{SHA256_HEX.pattern})?")
_IDENTIFIER_OR_NONE = re.compile(rf"(?:{IDENTIFIER.pattern})?")
ACCELERATOR = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*\.[a-z0-9-]+")


class Operation(str, Enum):  # noqa: UP042 - StrEnum is Python 3.11; this file travels to 3.10 hosts
    """What a host can be asked to do."""

    INSTALL = "install"
    INVOKE = "invoke"
    BENCHMARK = "benchmark"
    STATUS = "status"
    STOP = "stop"
    ROLLBACK = "rollback"
    LOGS = "logs"
    COMPILE = "compile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The part that all requests share."""

    operation: ClassVar[Operation]
    id: str

    def as_document(self) -> dict[str, Any]:
        """Return the request as JSON members."""
        return {"operation": self.operation.value, "id": self.id}

    def canonical(self) -> bytes:
        """Return the canonical JSON, the bytes of the request object."""
        return canonical.encode(self.as_document())

    @property
    def digest(self) -> str:
        """Return the SHA-256 that names the request object."""
        return canonical.sha256(self.canonical())


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallRequest(Request):
    """Fetch, verify and serve an artifact in place of the one that is served now."""

    operation: ClassVar[Operation] = Operation.INSTALL
    artifact_key: str  # of the recipe that the archive is put together by
    artifact_bytes: int  # of the archive
    artifact_sha256: str  # of the recipe's document, which names every piece of the archive by its own
    manifest_digest: str
    accelerator: str
    signer: PublicKey | None = None  # who must have signed it; it comes by the request, not beside the model
    scale: Scale = Scale()  # noqa: RUF009 - frozen; the host decides (a worker per vCPU or NeuronCore)
    wheelhouse: str = ""  # SHA-256 of the lock of the environment to serve from; empty: the one there is

    def as_document(self) -> dict[str, Any]:
        """Return the request as JSON members."""
        return {
            "operation": self.operation.value,
            "id": self.id,
            "artifact_key": self.artifact_key,
            "artifact_bytes": self.artifact_bytes,
            "artifact_sha256": self.artifact_sha256,
            "manifest_digest": self.manifest_digest,
            "accelerator": self.accelerator,
            "signer": _pem(self.signer),
            "workers": self.scale.workers,
            "batch": self.scale.batch,
            "wheelhouse": self.wheelhouse,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class InvokeRequest(Request):
    """Send one request to the served model: {"inputs": {name: nested lists}} or {"random": seed}."""

    operation: ClassVar[Operation] = Operation.INVOKE
    body: dict[str, Any]

    def as_document(self) -> dict[str, Any]:
        """Return the request as JSON members."""
        return {"operation": self.operation.value, "id": self.id, "body": self.body}


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkRequest(Request):
    """Measure the served model by the protocol (`artifacts.measure` reads it)."""

    operation: ClassVar[Operation] = Operation.BENCHMARK
    protocol: dict[str, Any]
    sweep: bool = False  # at several numbers of workers and requests at once; the best is served from then on

    def as_document(self) -> dict[str, Any]:
        """Return the request as JSON members."""
        members = {"protocol": self.protocol, "sweep": self.sweep}
        return {"operation": self.operation.value, "id": self.id, **members}


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRequest(Request):
    """Say what is served."""

    operation: ClassVar[Operation] = Operation.STATUS


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequest(Request):
    """Stop serving."""

    operation: ClassVar[Operation] = Operation.STOP


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackRequest(Request):
    """Serve the version from before again."""

    operation: ClassVar[Operation] = Operation.ROLLBACK
    undoing: str = ""  # only where the request of this id made the switch; "" for whatever did
    signer: PublicKey | None = None  # who must have signed the version from before

    def as_document(self) -> dict[str, Any]:
        """Return the request as JSON members."""
        members = {"undoing": self.undoing, "signer": _pem(self.signer)}
        return {"operation": self.operation.value, "id": self.id, **members}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsRequest(Request):
    """Show the last lines that the servers wrote."""

    operation: ClassVar[Operation] = Operation.LOGS
    lines: int = 50

    def as_document(self) -> dict[str, Any]:
        """Return the request as JSON members."""
        return {"operation": self.operation.value, "id": self.id, "lines": self.lines}


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileOnHostRequest(Request):
    """Compile a model with the host's own SDK and leave the artifact in the bucket."""

    operation: ClassVar[Operation] = Operation.COMPILE
    instance_id: str  # the one host that compiles; the others of a fleet have nothing to do
    accelerator: str
    code: str  # SHA-256 of the bundle with the compiler
    source: str  # SHA-256 of the archive with the model's files; empty: the model is installed on the host
    timeout_s: int
    compile: dict[str, Any]  # a request of `artifacts.compile`, whose paths are relative to the model's files
    wheelhouse: str = ""

    def as_document(self) -> dict[str, Any]:
        """Return the request as JSON members."""
        return {
            "operation": self.operation.value,
            "id": self.id,
            "instance_id": self.instance_id,
            "accelerator": self.accelerator,
            "code": self.code,
            "source": self.source,
            "timeout_s": self.timeout_s,
            "compile": self.compile,
            "wheelhouse": self.wheelhouse,
        }


AnyRequest = (
    InstallRequest
    | InvokeRequest
    | BenchmarkRequest
    | StatusRequest
    | StopRequest
    | RollbackRequest
    | LogsRequest
    | CompileOnHostRequest
)


def parse_request(data: bytes) -> AnyRequest:
    """Read a request document; raises BadRequest."""
    fields = Fields.parse(data, "request")
    name = fields.text("operation")
    try:
        operation = Operation(name)
    except ValueError as error:
        raise BadRequest(f"A host has no operation {name!r}.") from error
    request = _read(operation, fields)
    fields.finish()
    return request


def _read(operation: Operation, fields: Fields) -> AnyRequest:
    identifier = fields.text("id", IDENTIFIER)
    if operation in _LONG:
        return _LONG[operation](identifier, fields)
    if operation is Operation.INVOKE:
        return InvokeRequest(id=identifier, body=fields.mapping("body"))
    if operation is Operation.BENCHMARK:
        protocol, sweep = fields.mapping("protocol"), fields.boolean("sweep")
        return BenchmarkRequest(id=identifier, protocol=protocol, sweep=sweep)
    if operation is Operation.ROLLBACK:
        undoing = fields.text("undoing", _IDENTIFIER_OR_NONE)
        return RollbackRequest(id=identifier, undoing=undoing, signer=_signer(fields))
    if operation is Operation.LOGS:
        return LogsRequest(id=identifier, lines=min(fields.integer("lines"), MOST_LOG_LINES))
    return StatusRequest(id=identifier) if operation is Operation.STATUS else StopRequest(id=identifier)


def _pem(signer: PublicKey | None) -> str:
    return "" if signer is None else signer.pem


def _signer(fields: Fields) -> PublicKey | None:
    pem = fields.text("signer")
    return PublicKey.parse(pem.encode()) if pem else None


def _read_install(identifier: str, fields: Fields) -> InstallRequest:
    return InstallRequest(
        id=identifier,
        artifact_key=fields.text("artifact_key", OBJECT_KEY),
        artifact_bytes=fields.integer("artifact_bytes"),
        artifact_sha256=fields.text("artifact_sha256", SHA256_HEX),
        manifest_digest=fields.text("manifest_digest", SHA256_HEX),
        accelerator=fields.text("accelerator", ACCELERATOR),
        signer=_signer(fields),
        scale=Scale(workers=fields.integer("workers"), batch=fields.integer("batch")),
        wheelhouse=fields.text("wheelhouse", _SHA256_OR_NONE),
    )


def _read_compile(identifier: str, fields: Fields) -> CompileOnHostRequest:
    return CompileOnHostRequest(
        id=identifier,
        instance_id=fields.text("instance_id", IDENTIFIER),
        accelerator=fields.text("accelerator", ACCELERATOR),
        code=fields.text("code", SHA256_HEX),
        source=fields.text("source", _SHA256_OR_NONE),
        timeout_s=fields.integer("timeout_s"),
        compile=fields.mapping("compile"),
        wheelhouse=fields.text("wheelhouse", _SHA256_OR_NONE),
    )


_LONG: Mapping[Operation, Callable[[str, Fields], AnyRequest]] = {
    Operation.INSTALL: _read_install,
    Operation.COMPILE: _read_compile,
}
