"""Serve another version: started beside the running one, proven, switched to, and only then in its place."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from artifacts.errors import ServeFailed
from artifacts.serve.client import SAFETENSORS_TYPE
from artifacts.serve.current import Current, read_current, switch_current
from artifacts.serve.environments import keep_environments, point_environment
from artifacts.serve.neuron import cores_of_a_worker
from artifacts.serve.routes import PORTS
from artifacts.serve.supervision import ServerSpec
from artifacts.serve.versions import (
    Previous,
    keep_versions,
    note_previous,
    put_back_previous,
    read_previous,
    version_directory,
)

if TYPE_CHECKING:
    from pathlib import Path

    from artifacts.manifest import Manifest
    from artifacts.serve.golden import Golden
    from artifacts.serve.installation import Host
    from artifacts.serve.scale import Scale

_POLL_S = 0.1
_NO_MATCH = "The program's answer does not match its golden request's"
_SAME_MODEL = "Compile the model again, and ship what that makes."


def serve_version(host: Host, manifest: Manifest, scale: Scale, request_id: str, python: str = "") -> Current:
    """Serve an unpacked and verified version; whatever fails, the one that was served before stays.

    The server runs in the interpreter named, by default in this process's.
    """
    old = read_current(host.settings.home)
    new = Current(
        digest=manifest.digest,
        port=PORTS[1] if old is not None and old.port == PORTS[0] else PORTS[0],
        address=host.settings.address,
        workers=scale.workers,
        batch=scale.batch,
        python=python or host.settings.python,
    )
    try:
        _start(host, new, manifest)
        _switch(host, old, new, request_id)
    except BaseException:
        if read_current(host.settings.home) == old:  # else it serves, and the switch was not all of it
            host.supervisor.stop(new.port)
        raise
    point_environment(host.settings.home, new.python)
    if old is not None:
        _retire(host, old)
    previous = read_previous(host.settings.home)
    keep_versions(host.settings.versions, {new.digest, previous.digest if previous else new.digest})
    keep_environments(host.settings.home, {new.python, previous.python if previous else new.python})
    return new


def _left(old: Current, request_id: str) -> Previous:
    return Previous(
        digest=old.digest, left_by=request_id, python=old.python, workers=old.workers, batch=old.batch
    )


def report(current: Current, manifest: Manifest, *, changed: bool) -> dict[str, Any]:
    """Return what an installation or a roll-back answers."""
    return {
        "digest": current.digest,
        "name": manifest.name,
        "lane": manifest.lane,
        "stand_in": manifest.stand_in,
        "port": current.port,
        "workers": current.workers,
        "batch": current.batch,
        "changed": changed,
    }


def stop_beside(host: Host) -> None:
    """Stop what a command that was killed left running beside the served version."""
    served = _served_port(host.settings.home)
    for port in PORTS:
        if port != served:
            host.supervisor.stop(port)


def _switch(host: Host, old: Current | None, new: Current, request_id: str) -> None:
    """Make the new version the served one; a balanced host is out of rotation while its door changes."""
    home = host.settings.home
    if host.rotation is None:
        _take_over(home, old, new, request_id)
        return
    with host.rotation.outside(host.progress, lambda: _served_port(home)):
        if old is not None:
            _drain(host, old)  # the door cuts what it led to the old version
        _take_over(home, old, new, request_id)


def _take_over(home: Path, old: Current | None, new: Current, request_id: str) -> None:
    """Note what is left and what is served, both or neither.

    A command that is killed cleans up nothing, so the note says until the switch is made which version was
    before the one that is still served.
    """
    before = read_previous(home)
    left = _left(old, request_id) if old is not None and old.digest != new.digest else None
    try:
        if left is not None:
            note_previous(home, left, before)
        switch_current(home, new)
        if left is not None:
            with suppress(OSError):  # it is served by now
                note_previous(home, left)
    except BaseException:
        if read_current(home) == old:
            put_back_previous(home, before)
        raise


def _served_port(home: Path) -> int | None:
    served = read_current(home)
    return served.port if served is not None else None


def _drain(host: Host, old: Current) -> None:
    if host.supervisor.running(old.port) is not None and not host.drain.wait(host.client(old.port)):
        host.progress(f"the old version still had requests after {host.drain.limit_s:.0f} s")


def _retire(host: Host, old: Current) -> None:
    """Let the old server finish what it has accepted, then stop it."""
    _drain(host, old)
    host.progress(f"stopping the old version on port {old.port}")
    host.supervisor.stop(old.port)


def _start(host: Host, new: Current, manifest: Manifest) -> None:
    """Start the server and let it prove itself; raises when it does not."""
    host.supervisor.stop(new.port)  # a left-over of a failed installation
    host.progress(f"starting {manifest.name} ({manifest.lane}) on port {new.port}, {new.workers} workers")
    emulated = host.settings.emulated
    spec = ServerSpec(
        python=new.python,
        version=version_directory(host.settings, new.digest),
        address=new.address,
        port=new.port,
        workers=new.workers,
        batch=new.batch,
        # Emulated hosts share one machine, where pinning would put them all on the same core.
        pin=not emulated,
        neuron=0 if emulated else cores_of_a_worker(manifest),
    )
    host.supervisor.start(spec)
    _wait_ready(host, new.port)
    _answer_golden(host, spec, manifest)


def _wait_ready(host: Host, port: int) -> None:
    deadline = time.monotonic() + host.ready_s
    while not host.client(port).healthy():
        if host.supervisor.running(port) is None:
            raise ServeFailed(
                "The server ended before it was ready.", f"Its log: {host.supervisor.log_tail(port)}"
            )
        if time.monotonic() > deadline:
            raise ServeFailed(
                f"The server was not ready within {host.ready_s:.0f} s.",
                f"Its log: {host.supervisor.log_tail(port)}",
            )
        time.sleep(_POLL_S)


def _answer_golden(host: Host, spec: ServerSpec, manifest: Manifest) -> None:
    """Send the golden requests over HTTP and compare with the eager model's answers."""
    from safetensors import SafetensorError

    from artifacts.serve.golden import read_goldens

    try:
        goldens = read_goldens(spec.version)
    except (OSError, SafetensorError) as error:
        raise ServeFailed(f"The golden requests cannot be read: {error}", _SAME_MODEL) from error
    if not goldens:
        raise ServeFailed("The artifact has no golden request to prove itself by.", _SAME_MODEL)
    worst = max(_off_golden(host, spec, golden, manifest.atol) for golden in goldens)
    host.progress(f"golden request answered, max |diff| {worst:.1e}")


def _off_golden(host: Host, spec: ServerSpec, golden: Golden, atol: float) -> float:
    """Return how far one golden request's answer is from the eager one; raises ServeFailed beyond atol."""
    from safetensors import SafetensorError
    from safetensors import torch as safetensors

    from artifacts.serve.agreement import difference

    answer = host.client(spec.port).infer(safetensors.save(golden.inputs), SAFETENSORS_TYPE)
    try:
        outputs = safetensors.load(answer)
    except SafetensorError as error:
        raise ServeFailed(f"{_NO_MATCH}: it is no tensors ({error}).", _SAME_MODEL) from error
    names = sorted(golden.outputs)
    if not set(names) <= set(outputs):
        found_names = ", ".join(sorted(outputs)) or "nothing"
        raise ServeFailed(f"{_NO_MATCH}: {found_names}, not {', '.join(names)}.", _SAME_MODEL)
    found = difference([golden.outputs[name] for name in names], [outputs[name] for name in names])
    if found.value > atol:
        reason = found.reason or f"off by {found.value:.3g}, allowed {atol:.3g}"
        raise ServeFailed(
            f"The server answers the golden request wrongly: {reason}.",
            "The program behaves differently on this host; compile it with --atol that fits, or on the host.",
        )
    return found.value
