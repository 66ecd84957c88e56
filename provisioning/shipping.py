"""Ship an artifact: into the deployment's bucket, onto the hosts, verified there before it is loaded."""

from __future__ import annotations

import uuid
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from artifacts.archive import open_verified
from artifacts.errors import BadRequest
from artifacts.serve.bundle import build_bundle, bundle_digest
from artifacts.serve.requests import InstallRequest, RollbackRequest
from artifacts.serve.scale import Scale, batch_limit
from artifacts.signature import claimed_signer
from provisioning.errors import AwsError, HostFailed
from provisioning.operations import Operation, operate, put_bundle
from provisioning.serving import note_rolled_back, note_shipped
from provisioning.supplying import supply
from provisioning.uploading import Companion, Upload, store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from artifacts.signature import PublicKey
    from provisioning.operations import HostCalls
    from provisioning.uploading import Stored
    from provisioning.wheelhouse import Gathered

# Fetching a gigabyte, making an environment of it, starting a server and warming it up, generously.
INSTALL_TIMEOUT_S = 1800
# Hosts that install at once, SSM's own default. A host that fails keeps its version, so this is no matter of
# harm: it is how many hosts may be busy starting a server at the same time.
WAVE = 50

DEFAULT_SCALE = Scale()  # each host decides


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """An artifact on this machine, verified: what would travel, and where to."""

    path: Path
    size: int  # bytes of the archive
    digest: str  # of the manifest: the artifact's identity
    accelerator: str
    name: str
    lane: str
    claimed_signer: str | None = None  # fingerprint that its signature names, if it has one
    signer: PublicKey | None = None  # whose signature was asked for, and checked
    batch_limit: int = 1  # requests that its program takes at once

    @property
    def key(self) -> str:
        """The key of its recipe in the deployment's bucket: one per artifact and signer."""
        signed = "" if self.claimed_signer is None else f"-{self.claimed_signer[:16]}"
        return f"artifacts/models/{self.digest}{signed}.recipe"


def open_package(path: Path, signer: PublicKey | None = None) -> Package:
    """Verify the archive and return what it is; raise `ArtifactRefused`, or `BadRequest` when absent.

    With a signer, it must be signed by that key.
    """
    if not path.is_file():
        raise BadRequest(f"There is no artifact {path}.", "Make one with: amazonei compile MODEL --target T")
    with closing(open_verified(path, signer=signer)) as contents:
        manifest, signature = contents.manifest, contents.signature
    return Package(
        path=path,
        size=path.stat().st_size,
        digest=manifest.digest,
        accelerator=manifest.target,
        name=manifest.name,
        lane=manifest.lane,
        claimed_signer=None if signature is None else claimed_signer(signature),
        signer=signer,
        batch_limit=batch_limit(manifest),
    )


def ship(
    calls: HostCalls,
    package: Package,
    wave: int = WAVE,
    wheels: Gathered | None = None,
    scale: Scale = DEFAULT_SCALE,
    *,
    resend: bool = False,
) -> Mapping[str, dict[str, Any]]:
    """Upload what of the artifact is not there, install it on every host; return the hosts' responses.

    Each host verifies size, SHA-256, manifest and target before anything is loaded, starts the new version
    beside the old one, and switches only when it answers the golden request. Hosts install in waves; the
    first failure keeps the waves that have not begun from beginning, and what has switched goes back. Behind
    a load balancer a wave is at most half of the hosts, since who switches is out of its rotation. With
    wheels, each host serves from an environment that is made of them.
    """
    bundle = bundle_digest(build_bundle())
    stored = upload(calls, package, _companions(calls, bundle, wheels, resend=resend), resend=resend)
    request = _install_request(package, stored, "" if wheels is None else wheels.lock.digest, scale)
    operation = Operation(
        name="install",
        request=request,
        timeout_s=INSTALL_TIMEOUT_S,
        wave=calls.deployment.wave(package.accelerator, wave),
        max_errors="0",
    )
    calls.say(f"installing {package.digest[:12]} on {package.accelerator}")
    try:
        responses = operate(calls, package.accelerator, operation, bundle=bundle)
    except HostFailed as error:
        if len(calls.deployment.hosts_of(package.accelerator)) < 2:
            raise
        raise _undone(calls, package, request, error) from error
    note_shipped(calls, request, bundle=bundle)
    return responses


def roll_back(
    calls: HostCalls, accelerator: str, undoing: str = "", signer: PublicKey | None = None
) -> Mapping[str, dict[str, Any]]:
    """Serve the version from before again, verified anew on each host; return the hosts' responses.

    With the id of an installation, only the hosts that it switched go back; with a signer, only to a version
    that this key has signed.
    """
    calls.say(f"rolling back {accelerator}")
    request = RollbackRequest(id=uuid.uuid4().hex, undoing=undoing, signer=signer)
    operation = Operation(
        name="rollback",
        request=request,
        timeout_s=INSTALL_TIMEOUT_S,
        wave=calls.deployment.wave(accelerator, 0),
    )
    responses = operate(calls, accelerator, operation)
    if not undoing:  # what a failed installation had switched was never what the fleet serves
        note_rolled_back(calls, accelerator)
    return responses


def _companions(
    calls: HostCalls, bundle: str, wheels: Gathered | None, *, resend: bool
) -> tuple[Companion, ...]:
    """Return what a host fetches beside the archive: its code, and the wheels if it is to install any."""
    put_code = partial(put_bundle, calls.aws, calls.deployment.bucket, resend=resend)
    code = Companion(name="bundle", sha256=bundle, put=put_code)
    if wheels is None:
        return (code,)
    put_wheels = partial(supply, calls, wheels, resend=resend)
    return (code, Companion(name="wheelhouse", sha256=wheels.lock.digest, put=put_wheels))


def _install_request(package: Package, stored: Stored, wheelhouse: str, scale: Scale) -> InstallRequest:
    return InstallRequest(
        id=uuid.uuid4().hex,
        artifact_key=stored.key,
        artifact_bytes=package.size,
        artifact_sha256=stored.sha256,
        manifest_digest=package.digest,
        accelerator=package.accelerator,
        signer=package.signer,
        wheelhouse=wheelhouse,
        scale=scale,
    )


def _undone(calls: HostCalls, package: Package, request: InstallRequest, error: HostFailed) -> HostFailed:
    """Take back what a failed installation has switched, so that the fleet serves one version; tell both."""
    try:
        responses = roll_back(calls, package.accelerator, undoing=request.id)
        back = sum(bool(response["changed"]) for response in responses.values())
        told = f"Hosts that had switched and serve the version from before again: {back}."
    except AwsError as second:  # without an answer or a right, it must not hide why the ship failed
        told = f"Rolling back what had switched failed too: {second.message}"
    except KeyboardInterrupt as interruption:
        interruption.add_note(f"It was taking back what had switched, because: {error.message}")
        raise
    return HostFailed(
        f"{error.message}\n{told}", error.hint, operation=error.operation, aws_code=error.aws_code
    )


def upload(
    calls: HostCalls, package: Package, companions: Sequence[Companion] = (), *, resend: bool = False
) -> Stored:
    """Put the archive into the bucket, as pieces that other versions of the model share with it.

    Before it is committed, what hosts need beside it is put there too, unless a recipe says that it is there.
    """
    calls.say(f"uploading {package.path.name} ({package.size / 1e6:.1f} MB)")
    plan = Upload(
        account=calls.aws,
        bucket=calls.deployment.bucket,
        key=package.key,
        scope=package.name,
        companions=tuple(companions),
        clock=calls.clock,
        say=calls.say,
    )
    return store(plan, package.path, resend=resend)
