"""What a host does besides installing: invoke, benchmark, status, logs and stop."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from artifacts.errors import BadRequest, ServeFailed
from artifacts.serve.building import compile_here
from artifacts.serve.client import JSON_TYPE, SAFETENSORS_TYPE
from artifacts.serve.current import Current, clear_current, read_current, require_current
from artifacts.serve.installation import Host, install, served_manifest
from artifacts.serve.requests import (
    AnyRequest,
    BenchmarkRequest,
    CompileOnHostRequest,
    InstallRequest,
    InvokeRequest,
    LogsRequest,
    Request,
    RollbackRequest,
    StatusRequest,
    StopRequest,
)
from artifacts.serve.rollback import roll_back
from artifacts.serve.routes import PORTS
from artifacts.serve.switching import stop_beside
from artifacts.serve.traffic import read_traffic
from artifacts.serve.versions import read_previous

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from artifacts.manifest import Manifest
    from artifacts.measure.measurement import Measurement

BENCHMARK_PAYLOADS = 8  # distinct inputs, so that no cache answers


def perform(host: Host, request: AnyRequest) -> dict[str, Any]:
    """Do what is asked and return the members of the response."""
    return _DOING[type(request)](host, request)


def invoke(host: Host, request: InvokeRequest) -> dict[str, Any]:
    """Send one request to the served model."""
    current = require_current(host.settings.home)
    body = _invoke_body(host, current, request.body)
    started = time.perf_counter()
    answer = host.client(current.port).infer(body, JSON_TYPE)
    elapsed = time.perf_counter() - started
    return {
        "digest": current.digest,
        "response": json.loads(answer),
        "latency_ms": round(elapsed * 1e3, 3),
    }


def _invoke_body(host: Host, current: Current, body: dict[str, Any]) -> bytes:
    if set(body) == {"inputs"}:
        return json.dumps(body).encode()
    seed = body.get("random")
    if set(body) != {"random"} or not isinstance(seed, int):
        raise BadRequest(
            'A request is {"inputs": {name: nested lists}} or {"random": seed}.',
            "`amazonei invoke --random` needs no file.",
        )
    from artifacts.serve.fitting import of_one
    from artifacts.serve.sampling import sample

    inputs = sample(of_one(served_manifest(host.settings, current).inputs), seed)
    return json.dumps({"inputs": {name: tensor.tolist() for name, tensor in inputs.items()}}).encode()


def benchmark(host: Host, request: BenchmarkRequest) -> dict[str, Any]:
    """Measure the served model with raw bodies; the samples go to the bucket, compressed.

    After a sweep, what is told is of the scale that is served from then on.
    """
    from artifacts.measure.campaign import measure
    from artifacts.measure.protocol import Protocol
    from artifacts.measure.results import pack_samples
    from artifacts.serve.sweeping import best, sweep_served

    manifest = served_manifest(host.settings, require_current(host.settings.home))
    protocol = Protocol.from_json(request.protocol)
    payloads = _payloads(manifest, protocol.seed)

    def measured() -> Measurement:
        port = require_current(host.settings.home).port
        return measure(host.client(port).url, payloads, SAFETENSORS_TYPE, protocol, host.progress)

    trials = sweep_served(host, request.id, measured) if request.sweep else []
    chosen = best(trials) if trials else None
    measurement = (chosen.measurement if chosen else None) or measured()
    samples = f"results/{request.id}/{host.settings.instance_id}.samples.json.gz"
    host.storage.put(samples, pack_samples(measurement))
    current = require_current(host.settings.home)
    return {
        "served": {
            "digest": current.digest,
            "name": manifest.name,
            "lane": manifest.lane,
            "stand_in": manifest.stand_in,
            "workers": current.workers,
            "batch": current.batch,
        },
        "payload_bytes": len(payloads[0]),
        "measurement": measurement.to_json(),
        "samples_key": samples,
        "sweep": [trial.as_document() for trial in trials],
    }


def _payloads(manifest: Manifest, seed: int) -> tuple[bytes, ...]:
    from safetensors import torch as safetensors

    from artifacts.serve.fitting import of_one
    from artifacts.serve.sampling import sample

    seeds = range(seed, seed + BENCHMARK_PAYLOADS)
    return tuple(safetensors.save(sample(of_one(manifest.inputs), each)) for each in seeds)


def status(host: Host) -> dict[str, Any]:
    """Say what is served and whether it answers."""
    current = read_current(host.settings.home)
    if current is None:
        return {"serving": None, "previous": None}
    manifest = served_manifest(host.settings, current)
    previous = read_previous(host.settings.home)
    running = host.supervisor.running(current.port)
    return {
        "serving": {
            "digest": current.digest,
            "name": manifest.name,
            "lane": manifest.lane,
            "stand_in": manifest.stand_in,
            "address": current.address,
            "port": current.port,
            "workers": current.workers,
            "batch": current.batch,
            "pid": running.pid if running else None,
            "uptime_s": running.uptime_s if running else None,
            "healthy": running is not None and host.client(current.port).healthy(),
            "in_rotation": None if host.rotation is None else host.rotation.is_in,
            "traffic": _traffic(host, current.port),
        },
        "previous": previous.digest if previous else None,
    }


def _traffic(host: Host, port: int) -> dict[str, int] | None:
    """Return what the server has answered since it started; None when it does not say."""
    try:
        return asdict(read_traffic(host.client(port).metrics()))
    except ServeFailed:
        return None


def logs(host: Host, request: LogsRequest) -> dict[str, Any]:
    """Show the end of each server's log, by port: also that of a version which did not start."""
    current = read_current(host.settings.home)
    tails = {str(port): host.supervisor.log_tail(port, request.lines) for port in PORTS}
    return {
        "port": current.port if current else None,
        "logs": {port: tail for port, tail in tails.items() if tail},
    }


def stop(host: Host) -> dict[str, Any]:
    """Stop serving."""
    stop_beside(host)
    current = read_current(host.settings.home)
    if current is None:
        return {"stopped": False}
    if host.rotation is not None:
        host.rotation.end(host.progress)
    host.supervisor.stop(current.port)
    clear_current(host.settings.home)
    return {"stopped": True, "digest": current.digest}


_DOING: Mapping[type[Request], Callable[[Host, Any], dict[str, Any]]] = {
    InstallRequest: install,
    InvokeRequest: invoke,
    BenchmarkRequest: benchmark,
    RollbackRequest: roll_back,
    CompileOnHostRequest: compile_here,
    LogsRequest: logs,
    StatusRequest: lambda host, _: status(host),
    StopRequest: lambda host, _: stop(host),
}
