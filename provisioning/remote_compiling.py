"""Compile on a host of the deployment: the model's files go there, the artifact comes back, verified."""

from __future__ import annotations

import hashlib
import json
import tempfile
import uuid
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts import archive
from artifacts.compile.documents import write_document
from artifacts.compile.fit import refuse_misfit_directory
from artifacts.compile.request import CompileRequest, CompileResult
from artifacts.errors import ArtifactRefused
from artifacts.serve.bundle import build_compiler
from artifacts.serve.requests import CompileOnHostRequest
from artifacts.targets import find
from provisioning.compiling import raise_error, refuse_unwritable
from provisioning.operations import Operation, operate
from provisioning.sources import find_source, pack_source
from provisioning.supplying import supply

if TYPE_CHECKING:
    from provisioning.operations import HostCalls
    from provisioning.wheelhouse import Gathered

COMPILE_TIMEOUT_S = 2 * 3600  # a large model takes neuronx-cc an hour
_OVERHEAD_S = 300  # to fetch, make an environment and send


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What a host needs to compile, in the bucket, by digest."""

    code: str
    source: str
    model: str


def compile_on_host(
    calls: HostCalls,
    request: CompileRequest,
    wheels: Gathered | None = None,
    working: Path | None = None,
    timeout_s: int = COMPILE_TIMEOUT_S,
) -> CompileResult:
    """Return the result of a compile on the first host of the target, its artifact in `out_dir`.

    Raises the compiler's own error as a compile at home does, `HostFailed` when the host could not try, and
    `ArtifactRefused` when what came back is not what the host says it made.
    """
    refuse_misfit_directory(request.model, find(request.target).compiler, request.target)
    accelerator = calls.deployment.choose(request.target)
    host = min(each.instance_id for each in calls.deployment.hosts_of(accelerator))
    refuse_unwritable(request.out_dir)
    if wheels is not None:
        supply(calls, wheels)
    sent = _send(calls, request.model, working or Path.cwd())
    wanted = replace(request, model=sent.model, out_dir=Path("out"), stand_in=False, cache=False)
    asked = CompileOnHostRequest(
        id=uuid.uuid4().hex,
        instance_id=host,
        accelerator=accelerator,
        code=sent.code,
        source=sent.source,
        timeout_s=timeout_s,
        compile=json.loads(wanted.to_json()),
        wheelhouse="" if wheels is None else wheels.lock.digest,
    )
    calls.say(f"compiling on {host}")
    operation = Operation(name="compile", request=asked, timeout_s=timeout_s + _OVERHEAD_S)
    response = operate(calls, accelerator, operation)[host]
    raise_error(response["compiled"])
    return _brought(calls, response, request)


def _send(calls: HostCalls, model: str, working: Path) -> Sent:
    """Put the compiler and the model's files into the bucket, each unless it is there."""
    compiler = build_compiler()
    code = hashlib.sha256(compiler).hexdigest()
    bucket, s3 = calls.deployment.bucket, calls.aws.s3
    if s3.head_object(bucket, f"artifacts/bundles/{code}.zip") is None:
        s3.put_object_if_absent(bucket, f"artifacts/bundles/{code}.zip", compiler)
    source = find_source(model, working)
    if not source.files:
        return Sent(code=code, source="", model=source.model)
    with tempfile.TemporaryDirectory(prefix="amazonei-source-") as scratch:
        packed = Path(scratch, "source.zip")
        digest = pack_source(source, packed)
        key = f"artifacts/sources/{digest}.zip"
        calls.say(f"sending {len(source.files)} files of the model ({source.size / 1e6:.1f} MB)")
        if s3.head_object(bucket, key) is None:
            s3.upload_file(packed, bucket, key, metadata={"sha256": digest})
    return Sent(code=code, source=digest, model=source.model)


def _brought(calls: HostCalls, response: dict[str, Any], request: CompileRequest) -> CompileResult:
    """Fetch the artifact, hold it to what the host said and to the target, and put it in its place."""
    document, stored = response["compiled"], response["artifact"]
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=request.out_dir) as scratch:
        path = Path(scratch, "artifact.aei")
        calls.say(f"fetching the artifact ({stored['bytes'] / 1e6:.1f} MB)")
        calls.aws.s3.download_file(calls.deployment.bucket, stored["key"], path)
        file = archive.digest_file(path, path.name)
        if (file.bytes, file.sha256) != (stored["bytes"], stored["sha256"]):
            raise ArtifactRefused(
                f"The artifact in the bucket is not the one that {response['instance_id']} made.",
                "Compile it again.",
            )
        with closing(
            archive.open_verified(path, expected_digest=document["digest"], target=request.target)
        ) as contents:
            place = request.out_dir / archive.archive_name(contents.manifest)
        path.replace(place)
    result = CompileResult.from_document({**document, "artifact": str(place)})
    write_document(
        archive.evidence_path(place), {**result.as_document(), "machine": response.get("machine", {})}
    )
    return result
