"""Ask the hosts of an accelerator to do something, through S3 and one SSM command.

The request is an object in the deployment's bucket, named by its SHA-256; the command carries only that
digest. Nothing a person typed ever becomes part of a shell command, and the host can check that the
request is the one that was sent. Each host writes its response to the bucket.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from artifacts.serve.bundle import build_bundle, bundle_digest
from provisioning.commands import SPARED, CommandFailed, HostCommand, run_on_hosts
from provisioning.deployment import TAG_ACCELERATOR, TAG_DEPLOYMENT
from provisioning.errors import HostFailed, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from artifacts.serve.requests import Request
    from provisioning.aws import Aws
    from provisioning.commands import HostOutcome
    from provisioning.deployment import Deployment
    from provisioning.waiting import Clock

DELIVERY_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What to ask, named as in `artifacts.serve.requests`, with its request document."""

    name: str
    request: Request
    timeout_s: int
    wave: int = 0  # hosts at once; 0: all of them
    max_errors: str = "100%"  # "0": the first failure keeps the hosts that have not begun from beginning


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCalls:
    """The collaborators every operation needs."""

    aws: Aws
    deployment: Deployment
    clock: Clock
    say: Callable[[str], None]
    emulated: bool  # the hosts are emulated, and so is every figure measured on them
    tell_host: Callable[[str, str], None] | None = None  # a host's new state; None: `say` is told

    def host_is(self, host: str, state: str) -> None:
        """Tell what the command does on a host."""
        if self.tell_host is None:
            self.say(f"{host}: {state}")
        else:
            self.tell_host(host, state)


def operate(
    calls: HostCalls, accelerator: str, operation: Operation, *, bundle: str = ""
) -> Mapping[str, dict[str, Any]]:
    """Run the operation on every host of the accelerator; return each host's response by instance id.

    With the SHA-256 of the host code, the code is known to be in the bucket and nothing looks for it.
    Raises `HostFailed` with the host's own words when any of them refuses or fails.
    """
    outcomes = _run(calls, accelerator, operation, bundle)
    failed = [outcome for outcome in outcomes if not outcome.succeeded]
    if failed:
        raise _failure(calls, operation, outcomes)
    return {outcome.instance_id: _response(calls, operation, outcome) for outcome in outcomes}


def operate_on_any(calls: HostCalls, accelerator: str, operation: Operation) -> dict[str, Any]:
    """Run the operation on every host of the accelerator; return the response of the first that succeeds.

    Raises `HostFailed` with the first host's own words when all of them refuse or fail.
    """
    try:
        outcomes = _run(calls, accelerator, operation)
    except CommandFailed as error:
        if not any(outcome.succeeded for outcome in error.outcomes):
            raise
        outcomes = error.outcomes
    succeeded = [outcome for outcome in outcomes if outcome.succeeded]
    if not succeeded:
        raise _failure(calls, operation, outcomes)
    if len(succeeded) < len(outcomes):
        calls.say(f"{len(outcomes) - len(succeeded)} of {len(outcomes)} hosts gave no answer")
    return _response(calls, operation, succeeded[0])


def _run(
    calls: HostCalls, accelerator: str, operation: Operation, bundle: str = ""
) -> tuple[HostOutcome, ...]:
    """Send the operation to every host of the accelerator, and return how it ended on each."""
    request = operation.request.canonical()
    parameters = {
        "Bucket": calls.deployment.bucket,
        "Bundle": bundle or put_bundle(calls.aws, calls.deployment.bucket),
        "Operation": operation.name,
        "Request": _put_request(calls.aws, calls.deployment.bucket, request),
        "ExecutionTimeout": str(operation.timeout_s),
    }
    command = HostCommand(
        document=calls.deployment.document,
        parameters=parameters,
        tags={TAG_DEPLOYMENT: calls.deployment.name, TAG_ACCELERATOR: accelerator},
        delivery_timeout_s=DELIVERY_TIMEOUT_S,
        execution_timeout_s=operation.timeout_s,
        wave=operation.wave,
        max_errors=operation.max_errors,
        output_bucket=calls.deployment.bucket,
        output_prefix=_output_prefix(operation),
    )
    return run_on_hosts(calls.aws, command, on_progress=calls.say, on_host=calls.host_is, clock=calls.clock)


def _output_prefix(operation: Operation) -> str:
    """Return where hosts put what they wrote while they did it: they may write below `results/` only."""
    return f"results/{operation.request.id}/output"


def put_bundle(aws: Aws, bucket: str, *, resend: bool = False) -> str:
    """Put this version of the host code into the bucket unless it is there; return its SHA-256.

    With `resend`, it is put over whatever is there.
    """
    bundle = build_bundle()
    digest = bundle_digest(bundle)
    key = f"artifacts/bundles/{digest}.zip"
    if resend:
        aws.s3.put_object(bucket, key, bundle)
    elif aws.s3.head_object(bucket, key) is None:
        aws.s3.put_object_if_absent(bucket, key, bundle)
    return digest


def _put_request(aws: Aws, bucket: str, request: bytes) -> str:
    digest = hashlib.sha256(request).hexdigest()
    aws.s3.put_object_if_absent(bucket, f"artifacts/requests/{digest}.json", request)
    return digest


def _response(calls: HostCalls, operation: Operation, outcome: HostOutcome) -> dict[str, Any]:
    """Return the host's response document, from its output when that holds all of it, else from the bucket.

    Raises `HostFailed` when it says no, or when the host never wrote one.
    """
    response = _written(operation, outcome) or _stored(calls, operation, outcome)
    if not response.get("ok"):
        error = response.get("error", {})
        raise HostFailed(
            f"{operation.name} failed on {outcome.instance_id}: {error.get('message', outcome.status)}",
            error.get("hint", ""),
            operation="ssm:SendCommand",
            aws_code=error.get("code", outcome.status),
        )
    return response


def _written(operation: Operation, outcome: HostOutcome) -> dict[str, Any] | None:
    """Return the response that the host wrote as its first line, if the line is whole: it saves a call."""
    try:
        response = json.loads(outcome.output.partition("\n")[0])
    except json.JSONDecodeError:
        return None
    whole = isinstance(response, dict) and response.get("id") == operation.request.id
    return response if whole and not response.get("shortened") else None


def _stored(calls: HostCalls, operation: Operation, outcome: HostOutcome) -> dict[str, Any]:
    key = f"results/{operation.request.id}/{outcome.instance_id}.json"
    try:
        body = calls.aws.s3.get_object(calls.deployment.bucket, key)
    except NotFound:
        raise _unexplained(calls, operation, outcome) from None
    response: dict[str, Any] = json.loads(body)
    return response


def _failure(calls: HostCalls, operation: Operation, outcomes: Sequence[HostOutcome]) -> HostFailed:
    """Return the first failing host's own words, and how many hosts it concerns where there are several."""
    failed = [outcome for outcome in outcomes if not outcome.succeeded and outcome.status not in SPARED]
    try:
        _response(calls, operation, failed[0])
        raise _unexplained(calls, operation, failed[0])  # it says that all went well, and exits with an error
    except HostFailed as error:
        if len(outcomes) == 1:
            return error
        spared = sum(outcome.status in SPARED for outcome in outcomes)
        tally = f"{len(failed)} of {len(outcomes)} hosts failed" + (
            f", {spared} never began" if spared else ""
        )
        return HostFailed(
            f"{error.message}\n({tally}.)", error.hint, operation=error.operation, aws_code=error.aws_code
        )


def _unexplained(calls: HostCalls, operation: Operation, outcome: HostOutcome) -> HostFailed:
    tail = outcome.stderr.strip().splitlines()[-5:]
    return HostFailed(
        f"{operation.name} on {outcome.instance_id} ended {outcome.status} (exit {outcome.response_code}) "
        "without a response" + (":\n" + "\n".join(tail) if tail else "."),
        f"The host's whole output: s3://{calls.deployment.bucket}/{_output_prefix(operation)}/",
        operation="ssm:SendCommand",
        aws_code=outcome.status,
    )
