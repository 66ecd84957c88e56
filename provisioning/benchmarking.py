"""Measure what the hosts serve, from inside the network: the load is generated on the host itself.

A private host has no address a laptop could reach, and a laptop's network would be in every sample. The
generator therefore runs beside the server, and every result says so.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from artifacts.errors import BadRequest
from artifacts.serve.document import LONGEST_EXECUTION_S
from artifacts.serve.requests import BenchmarkRequest, InvokeRequest
from provisioning.operations import Operation, operate, operate_on_any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from artifacts.measure.protocol import Protocol
    from provisioning.operations import HostCalls

INVOKE_TIMEOUT_S = 120
# On top of the protocol's own longest duration: building payloads, searching, uploading the samples.
BENCHMARK_ALLOWANCE_S = 300
# Of a sweep: 1, 2, 4 up to 128 at once, and up to 192 workers.
MOST_TRIALS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One host's measurement document, and its raw samples as compressed JSON."""

    instance_id: str
    served: dict[str, Any]  # what was measured: its name, lane, digest, stand_in
    measurement: dict[str, Any]
    samples: bytes
    sweep: tuple[
        Mapping[str, Any], ...
    ] = ()  # workers, batch, rps and the reason of each scale that was tried


def benchmark(
    calls: HostCalls, accelerator: str, protocol: Protocol, *, sweep: bool = False
) -> tuple[Measured, ...]:
    """Measure every host of the accelerator; raise `HostFailed` when one could not be measured.

    With `sweep`, each host is measured at several scales, and serves at its best one from then on.
    """
    request = BenchmarkRequest(id=uuid.uuid4().hex, protocol=protocol.to_json(), sweep=sweep)
    operation = Operation(name="benchmark", request=request, timeout_s=time_for(protocol, sweep=sweep))
    responses = operate(calls, accelerator, operation)
    return tuple(
        Measured(
            instance_id=instance_id,
            served=response["served"],
            measurement=response["measurement"],
            sweep=tuple(response["sweep"]),
            samples=calls.aws.s3.get_object(
                calls.deployment.bucket, f"results/{request.id}/{instance_id}.samples.json.gz"
            ),
        )
        for instance_id, response in sorted(responses.items())
    )


def time_for(protocol: Protocol, *, sweep: bool = False) -> int:
    """Return the seconds a host gets to measure; raise `BadRequest` for more than a command may take."""
    trials = MOST_TRIALS if sweep else 1
    needed_s = (int(longest_s(protocol)) + BENCHMARK_ALLOWANCE_S) * trials
    if needed_s <= LONGEST_EXECUTION_S:
        return needed_s
    fitting_s = _longest_duration_s(protocol, LONGEST_EXECUTION_S // trials - BENCHMARK_ALLOWANCE_S)
    or_once = "; or leave out --sweep" if sweep and needed_s // trials <= LONGEST_EXECUTION_S else ""
    raise BadRequest(
        f"Measuring could take {needed_s:,} s; a command on a host may take {LONGEST_EXECUTION_S:,} s.",
        f"Pass --duration {fitting_s}, or less{or_once}.",
    )


def _longest_duration_s(protocol: Protocol, whole_s: int) -> int:
    """Return the most whole seconds of a point with which the protocol takes no longer than `whole_s`."""
    settings = protocol.settings
    left_s = whole_s - _before_points_s(protocol)
    # A point that is shorter than the confirming runs does not make them longer.
    return int(min((left_s - 3 * settings.confirm_s) / settings.probes, left_s / (settings.probes + 3)))


def longest_s(protocol: Protocol) -> float:
    """Return a bound on how long the protocol can take, in seconds, when every phase runs to its cap."""
    settings = protocol.settings
    point_s = protocol.duration_s or settings.point_cap_s
    # A run that found its rate confirms it up to three times.
    return _before_points_s(protocol) + point_s * settings.probes + 3 * max(settings.confirm_s, point_s)


def _before_points_s(protocol: Protocol) -> float:
    """Return a bound on the phases whose length no duration changes: warm-up and closed loop."""
    settings = protocol.settings
    return settings.warm_up_cap_s + settings.closed_s * protocol.max_concurrency.bit_length()


def invoke(calls: HostCalls, accelerator: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Send one request to the served model; return its outputs, which artifact gave them, and how fast.

    Every host of the accelerator is asked, because the command goes by tag; the first answer counts, and
    hosts that fail or serve nothing matter only where there is none.
    """
    request = InvokeRequest(id=uuid.uuid4().hex, body=dict(body))
    operation = Operation(name="invoke", request=request, timeout_s=INVOKE_TIMEOUT_S)
    answer = operate_on_any(calls, accelerator, operation)
    return {
        "outputs": answer["response"]["outputs"],
        "accelerator": accelerator,
        "digest": answer["digest"],
        "latency_ms": answer["latency_ms"],
        "emulated": calls.emulated,
    }


def read_body(path: Path | None, seed: int | None, stdin: str | None = None) -> dict[str, Any]:
    """Return the request body from a JSON file (or `stdin`), or ask for a random one; `BadRequest` else."""
    if seed is not None:
        return {"random": seed}
    if path is None and stdin is None:
        raise BadRequest("Nothing to send.", "Pass --input-file request.json, or --random.")
    where = "standard input" if stdin is not None else str(path)
    try:
        text = stdin if stdin is not None or path is None else path.read_text(encoding="utf-8")
        document = json.loads(text or "")
    except OSError as error:
        raise BadRequest(f"{where} cannot be read: {error.strerror}.", "Check the path.") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadRequest(f"{where} is not JSON: {error}", 'Send {"inputs": {"name": [[...]]}}.') from None
    if not isinstance(document, dict) or not isinstance(document.get("inputs"), dict):
        raise BadRequest(f'{where} has no "inputs" object.', 'Send {"inputs": {"name": [[...]]}}.')
    return document
