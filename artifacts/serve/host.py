"""The host's process: fetch a request by its digest, do it, and leave the answer in the bucket.

Run by the SSM document's script with its parameters in the environment. The answer is a JSON document
under `results/<request id>/<instance id>.json`; standard output carries it in one line where it is short,
else a summary; steps go to standard error.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts.canonical import SHA256_HEX
from artifacts.errors import AmazoneiError, BadRequest, DiskFull, HostBroken, ServeFailed
from artifacts.serve.installation import Host
from artifacts.serve.locking import locked
from artifacts.serve.operations import perform
from artifacts.serve.relay import ProcessForwarder
from artifacts.serve.requests import AnyRequest, parse_request
from artifacts.serve.rotation import Rotation
from artifacts.serve.settings import HostSettings, read_settings
from artifacts.serve.storage import Storage
from artifacts.serve.supervision import ProcessSupervisor, Supervisor
from artifacts.serve.systemd import RUNNING_SYSTEMD, SystemdSupervisor
from artifacts.serve.systemd_door import SystemdForwarder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType
    from typing import NoReturn

# `list-command-invocations` shows 2,500 characters of both streams together; standard output comes first.
_LISTED_CHARACTERS = 2000
# Members of a response that a person looks for first; the whole of it is in the bucket.
_SUMMARY = ("ok", "operation", "id", "digest", "changed", "port", "serving", "stopped", "error")

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def choose_supervisor(settings: HostSettings, systemd: Path = RUNNING_SYSTEMD) -> Supervisor:
    """Return systemd's where it runs, plain processes on emulated hosts and elsewhere."""
    if systemd.is_dir() and not settings.emulated:
        return SystemdSupervisor()
    return ProcessSupervisor(settings.run_directory, settings.log_directory)


def choose_rotation(settings: HostSettings, supervisor: Supervisor) -> Rotation | None:
    """Return the fixed ports of a host behind a load balancer, kept as its servers are; None elsewhere."""
    if not settings.balanced:
        return None
    if isinstance(supervisor, ProcessSupervisor):
        return Rotation(
            ProcessForwarder(supervisor, settings.run_directory, settings.address, settings.base_python)
        )
    return Rotation(SystemdForwarder(settings.address))


def fetch_request(storage: Storage, digest: str) -> AnyRequest:
    """Return the request that has this digest."""
    if not SHA256_HEX.fullmatch(digest):
        raise BadRequest("The request is not named by a SHA-256.")
    with tempfile.TemporaryDirectory(prefix="amazonei-request-") as scratch:
        path = Path(scratch) / "request.json"
        storage.fetch_verified(f"artifacts/requests/{digest}.json", path, digest)
        return parse_request(path.read_bytes())


def respond(host: Host, request: AnyRequest, operation: str) -> tuple[dict[str, Any], int]:
    """Perform the request; returns the response document and the exit code."""
    response: dict[str, Any] = {
        "operation": request.operation.value,
        "id": request.id,
        "instance_id": host.settings.instance_id,
        "accelerator": host.settings.accelerator,
        "emulated": host.settings.emulated,
    }
    try:
        _refuse_other(operation, request)
        with locked(host.settings.home, request, host.progress):
            return {"ok": True, **response, **perform(host, request)}, 0
    except Exception as error:  # noqa: BLE001 - without an answer the user would learn nothing
        told = explained(error, request.id)
        return {"ok": False, **response, "error": told.as_document()}, told.exit_code


def _refuse_other(operation: str, request: AnyRequest) -> None:
    if operation != request.operation.value:
        raise BadRequest(f"The command says {operation!r}, the request {request.operation.value!r}.")


def explained(error: Exception, request_id: str) -> AmazoneiError:
    """Return what the user is told; the traceback of what was not foreseen goes to the command's output."""
    if isinstance(error, AmazoneiError):
        return error
    traceback.print_exception(error)
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return DiskFull(str(error))
    whole = f"The host's whole output is in the deployment's bucket, below results/{request_id}/output/"
    if isinstance(error, OSError):
        return ServeFailed(f"The host's system refused: {error}", whole)
    return HostBroken(f"The host failed with {type(error).__name__}: {error}", whole)


def run(environment: Mapping[str, str]) -> tuple[dict[str, Any], int]:
    """Do what the environment asks; returns the response and the exit code."""
    known: dict[str, str] = {}  # the tool takes an answer from the output only by its request's id
    try:
        settings = read_settings(environment)
        storage = Storage(environment.get("SSM_Bucket", ""))
        request = fetch_request(storage, environment.get("SSM_Request", ""))
        known = {"operation": request.operation.value, "id": request.id}
        supervisor = choose_supervisor(settings)
        host = Host(
            settings=settings,
            storage=storage,
            supervisor=supervisor,
            progress=_say,
            # A host that comes by itself begins with the version from before, which nobody is to get.
            rotation=None if environment.get("AMAZONEI_OUTSIDE") else choose_rotation(settings, supervisor),
            only_over=environment.get("AMAZONEI_ONLY_OVER"),
        )
        response, code = respond(host, request, environment.get("SSM_Operation", ""))
        storage.put(f"results/{request.id}/{settings.instance_id}.json", json.dumps(response).encode())
    except Exception as error:  # noqa: BLE001 - the command's output is what is left to tell it in
        told = explained(error, known.get("id", "…"))
        return {"ok": False, **known, "error": told.as_document()}, told.exit_code
    return response, code


def main() -> int:
    """Run as the SSM document's step."""
    signal.signal(signal.SIGTERM, _ended)  # what was begun is undone, as after any failure
    response, code = run(os.environ)
    sys.stdout.write(_line(response) + "\n")
    return code


def _ended(signum: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signum, lambda *_: None)  # once is enough; what is started meanwhile shall not ignore it
    sys.exit(128 + signum)


def _line(response: dict[str, Any]) -> str:
    """Return the response in one line, shortened to its summary where SSM would cut it."""
    line = json.dumps(response)
    if len(line) <= _LISTED_CHARACTERS:
        return line
    summary = {name: response[name] for name in _SUMMARY if name in response}
    return json.dumps({**summary, "shortened": True})


def _say(step: str) -> None:
    sys.stderr.write(f"{step}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
