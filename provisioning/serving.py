"""What a fleet serves, as an object in its bucket: a host that comes by itself installs that at its boot.

A group replaces a host that was lost when nobody is there to ship. `stacks/boot.sh` reads the two objects,
which name the host code and the install request by their SHA-256: the host verifies both, and the artifact,
as it does for a command. Only groups have them; nothing brings back a single host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from artifacts import canonical
from artifacts.canonical import SHA256_HEX, Fields
from artifacts.errors import BadRequest
from provisioning.deployment import TAG_ACCELERATOR
from provisioning.errors import NotFound
from provisioning.operations import put_bundle

if TYPE_CHECKING:
    from artifacts.serve.requests import InstallRequest
    from provisioning.deployment import Deployment
    from provisioning.operations import HostCalls

# What Auto Scaling puts on the instances it launches.
TAG_GROUP = "aws:autoscaling:groupName"


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A version that was shipped to a whole fleet."""

    bundle: str  # SHA-256 of the host code that installed it
    request: str  # SHA-256 of the install request
    manifest: str  # digest of the artifact

    def canonical(self) -> bytes:
        """Return the canonical JSON, the bytes of the object."""
        members = {"bundle": self.bundle, "manifest": self.manifest, "request": self.request}
        return canonical.encode(members)


NOTHING = canonical.encode({})  # what a boot finds no digest in, and installs nothing from


def key_of(accelerator: str, which: str) -> str:
    """Return the key of the object of the "current" or the "previous" version."""
    return f"artifacts/serving/{accelerator}/{which}.json"


def note_shipped(calls: HostCalls, request: InstallRequest, *, bundle: str = "") -> None:
    """Let hosts that come later serve what was shipped; the version from before is kept for going back.

    The bundle is the SHA-256 of the host code, where that is known to be in the bucket.
    """
    accelerator = request.accelerator
    if not has_group(calls.deployment, accelerator):
        return
    current = _read(calls, accelerator, "current")
    # The same artifact shipped again may bring other wheels, but no other version to go back to.
    if current is not None and current.manifest != request.manifest_digest:
        _write(calls, accelerator, "previous", current)
    code = bundle or put_bundle(calls.aws, calls.deployment.bucket)
    shipped = Served(bundle=code, request=request.digest, manifest=request.manifest_digest)
    _write(calls, accelerator, "current", shipped)


def note_rolled_back(calls: HostCalls, accelerator: str) -> None:
    """Let hosts that come later serve the version from before; what they then go back to is the later one."""
    if not has_group(calls.deployment, accelerator):
        return
    current, previous = (_read(calls, accelerator, which) for which in ("current", "previous"))
    _write(calls, accelerator, "current", previous)
    _write(calls, accelerator, "previous", current)


def has_group(deployment: Deployment, accelerator: str) -> bool:
    """Return whether a group launched hosts of the accelerator."""
    tags = (host.tags for host in deployment.hosts)
    return any(TAG_GROUP in each and each.get(TAG_ACCELERATOR) == accelerator for each in tags)


def _read(calls: HostCalls, accelerator: str, which: str) -> Served | None:
    """Return the version, or None where there is none, or an object that no ship of ours wrote."""
    try:
        body = calls.aws.s3.get_object(calls.deployment.bucket, key_of(accelerator, which))
    except NotFound:
        return None
    try:
        fields: Any = Fields.parse(body, "served version")
        return Served(**{name: fields.text(name, SHA256_HEX) for name in ("bundle", "manifest", "request")})
    except BadRequest:
        return None


def _write(calls: HostCalls, accelerator: str, which: str, served: Served | None) -> None:
    body = NOTHING if served is None else served.canonical()
    calls.aws.s3.put_object(calls.deployment.bucket, key_of(accelerator, which), body)
