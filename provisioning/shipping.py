"""Ship an artifact: into the deployment's bucket, onto the hosts, verified there before it is loaded."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from artifacts.archive import open_verified
from artifacts.errors import BadRequest
from artifacts.serve.requests import InstallRequest
from provisioning.operations import Operation, operate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from provisioning.operations import HostCalls

# Fetching a gigabyte, starting a server and warming it up, generously.
INSTALL_TIMEOUT_S = 900
# Hosts that install at once, SSM's own default. A host that fails keeps its version, so this is no matter of
# harm: it is how many hosts may be busy starting a server at the same time.
WAVE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """An artifact on this machine, verified: what would travel, and where to."""

    path: Path
    size: int  # bytes of the archive
    sha256: str  # of the archive's bytes: what the host compares on arrival
    digest: str  # of the manifest: the artifact's identity
    accelerator: str
    name: str
    lane: str

    @property
    def key(self) -> str:
        """The object's key in the deployment's bucket."""
        return f"artifacts/models/{self.digest}.aei"


def open_package(path: Path) -> Package:
    """Verify the archive and return what it is; raise `ArtifactRefused`, or `BadRequest` when absent."""
    if not path.is_file():
        raise BadRequest(f"There is no artifact {path}.", "Make one with: amazonei compile MODEL --target T")
    manifest = open_verified(path).manifest
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return Package(
        path=path,
        size=path.stat().st_size,
        sha256=sha256,
        digest=manifest.digest,
        accelerator=manifest.target,
        name=manifest.name,
        lane=manifest.lane,
    )


def ship(calls: HostCalls, package: Package, wave: int = WAVE) -> Mapping[str, dict[str, Any]]:
    """Upload the artifact unless it is there, install it on every host; return the hosts' responses.

    Each host verifies size, SHA-256, manifest and target before anything is loaded, starts the new version
    beside the old one, and switches only when it answers the golden request. Hosts install in waves; the
    first failure keeps the waves that have not begun from beginning.
    """
    upload(calls, package)
    calls.say(f"installing {package.digest[:12]} on {package.accelerator}")
    request = InstallRequest(
        id=uuid.uuid4().hex,
        artifact_key=package.key,
        artifact_bytes=package.size,
        artifact_sha256=package.sha256,
        manifest_digest=package.digest,
        accelerator=package.accelerator,
    )
    return operate(
        calls,
        package.accelerator,
        Operation(name="install", request=request, timeout_s=INSTALL_TIMEOUT_S, wave=wave, max_errors="0"),
    )


def upload(calls: HostCalls, package: Package) -> bool:
    """Put the archive into the bucket; return whether anything had to be sent."""
    bucket = calls.deployment.bucket
    stored = calls.aws.s3.head_object(bucket, package.key)
    if stored is not None and stored.size == package.size:
        calls.say(f"{package.key} is in the bucket already")
        return False
    calls.say(f"uploading {package.path.name} ({package.size / 1e6:.1f} MB)")
    calls.aws.s3.upload_file(package.path, bucket, package.key)
    return True
