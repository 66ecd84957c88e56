"""Install an artifact: nothing is loaded before it is verified, nothing is switched before it answers."""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts.archive import MANIFEST_NAME, open_verified
from artifacts.errors import ArtifactRefused, ServeFailed
from artifacts.manifest import Manifest
from artifacts.serve.client import SAFETENSORS_TYPE, Client
from artifacts.serve.current import Current, read_current, switch_current
from artifacts.serve.routes import PORTS
from artifacts.serve.settings import HostSettings, available_cpus
from artifacts.serve.supervision import ServerSpec, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    from artifacts.serve.requests import InstallRequest
    from artifacts.serve.storage import Storage

READY_S = 180.0  # a Neuron program of a gigabyte loads in about a minute
_POLL_S = 0.1
_NEURON = frozenset({"torch-neuron", "torch-neuronx"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host and what its operations work with."""

    settings: HostSettings
    storage: Storage
    supervisor: Supervisor
    progress: Callable[[str], None]
    ready_s: float = READY_S

    def client(self, port: int) -> Client:
        """Return a client of the server on a port."""
        return Client(self.settings.address, port)


def install(host: Host, request: InstallRequest) -> dict[str, Any]:
    """Serve the requested artifact; whatever fails, the version that was served before stays."""
    if request.accelerator != host.settings.accelerator:
        raise ArtifactRefused(
            f"The artifact was shipped for {request.accelerator}; this host is {host.settings.accelerator}."
        )
    old = read_current(host.settings.home)
    if old is not None and old.digest == request.manifest_digest and host.client(old.port).healthy():
        return _report(host, old, changed=False)
    manifest = _bring(host, request)
    workers = request.workers or (1 if host.settings.emulated else available_cpus())
    new = Current(
        digest=manifest.digest,
        port=PORTS[1] if old is not None and old.port == PORTS[0] else PORTS[0],
        address=host.settings.address,
        workers=workers,
    )
    _start(host, new, manifest)
    switch_current(host.settings.home, new)
    if old is not None:
        host.progress(f"stopping the old version on port {old.port}")
        host.supervisor.stop(old.port)
    _keep(host.settings.versions, {new.digest, old.digest if old else new.digest})
    return _report(host, new, changed=True)


def version_directory(settings: HostSettings, digest: str) -> Path:
    """Return where a version is unpacked."""
    return settings.versions / digest


def served_manifest(settings: HostSettings, current: Current) -> Manifest:
    """Return the manifest of the served version."""
    return Manifest.from_json((version_directory(settings, current.digest) / MANIFEST_NAME).read_bytes())


def _report(host: Host, current: Current, *, changed: bool) -> dict[str, Any]:
    manifest = served_manifest(host.settings, current)
    return {
        "digest": current.digest,
        "name": manifest.name,
        "lane": manifest.lane,
        "stand_in": manifest.stand_in,
        "port": current.port,
        "workers": current.workers,
        "changed": changed,
    }


def _bring(host: Host, request: InstallRequest) -> Manifest:
    """Fetch, verify and unpack; returns the manifest."""
    host.settings.versions.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=host.settings.versions, prefix=".incoming-") as scratch:
        archive = Path(scratch) / "artifact.aei"
        host.progress(f"fetching {request.artifact_key}")
        host.storage.fetch_verified(request.artifact_key, archive, request.artifact_sha256)
        if archive.stat().st_size != request.artifact_bytes:
            raise ArtifactRefused("The artifact does not have the size that was shipped.")
        with closing(
            open_verified(archive, expected_digest=request.manifest_digest, target=host.settings.accelerator)
        ) as contents:
            _refuse_stand_in(contents.manifest, emulated=host.settings.emulated)
            unpacked = Path(scratch) / "unpacked"
            unpacked.mkdir(mode=0o755)
            contents.unpack(unpacked)
            target = version_directory(host.settings, contents.manifest.digest)
            shutil.rmtree(target, ignore_errors=True)  # never the running one: that was a no-op above
            unpacked.rename(target)
            return contents.manifest


def _refuse_stand_in(manifest: Manifest, *, emulated: bool) -> None:
    if manifest.stand_in and not emulated:
        raise ArtifactRefused(
            f"{manifest.name} is a CPU stand-in for {manifest.target}, for emulated hosts only.",
            "Compile it without --emulate.",
        )


def _start(host: Host, new: Current, manifest: Manifest) -> None:
    """Start the server and let it prove itself; raises after stopping it again when it does not."""
    host.supervisor.stop(new.port)  # a left-over of a failed installation
    host.progress(f"starting {manifest.name} ({manifest.lane}) on port {new.port}, {new.workers} workers")
    emulated = host.settings.emulated
    spec = ServerSpec(
        python=host.settings.python,
        version=version_directory(host.settings, new.digest),
        address=new.address,
        port=new.port,
        workers=new.workers,
        # Emulated hosts share one machine, where pinning would put them all on the same core.
        pin=not emulated,
        neuron=not emulated and manifest.toolchain.compiler in _NEURON,
    )
    try:
        host.supervisor.start(spec)
        _wait_ready(host, new.port)
        _answer_golden(host, spec, manifest)
    except BaseException:
        host.supervisor.stop(new.port)
        raise


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
    """Send the golden request over HTTP and compare with the eager model's answer."""
    from safetensors import torch as safetensors

    from artifacts.serve.agreement import difference
    from artifacts.serve.golden import read_golden

    golden = read_golden(spec.version)
    answer = host.client(spec.port).infer(safetensors.save(golden.inputs), SAFETENSORS_TYPE)
    outputs = safetensors.load(answer)
    names = sorted(golden.outputs)
    found = difference([golden.outputs[name] for name in names], [outputs[name] for name in names])
    if found.value > manifest.atol:
        reason = found.reason or f"off by {found.value:.3g}, allowed {manifest.atol:.3g}"
        raise ServeFailed(
            f"The server answers the golden request wrongly: {reason}.",
            "The program behaves differently on this host; compile it with --atol that fits, or on the host.",
        )
    host.progress(f"golden request answered, max |diff| {found.value:.1e}")


def _keep(versions: Path, digests: set[str]) -> None:
    for directory in versions.iterdir():
        if directory.name not in digests and not directory.name.startswith("."):
            shutil.rmtree(directory, ignore_errors=True)
