"""Put a wheelhouse into the deployment's bucket: an object for each wheel, and the lock last."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from provisioning.errors import WheelsMissing

if TYPE_CHECKING:
    from pathlib import Path

    from artifacts.serve.wheelhouse import Wheel
    from provisioning.operations import HostCalls
    from provisioning.wheelhouse import Gathered


def unsent(calls: HostCalls, gathered: Gathered) -> tuple[Wheel, ...]:
    """Return the wheels that the bucket lacks; where the lock is, all of them are, and one call tells it."""
    lock = gathered.lock
    if _is_there(calls, lock.key, len(lock.to_json()), lock.digest):
        return ()
    return tuple(wheel for wheel in lock.wheels if not _is_there(calls, wheel.key, wheel.size, wheel.sha256))


def supply(calls: HostCalls, gathered: Gathered, *, resend: bool = False) -> int:
    """Send what the bucket lacks, or all of it again; return how many bytes of wheels that were.

    Raises `WheelsMissing` when a file of the local cache is not what the lock says any more.
    """
    lock = gathered.lock
    missing = lock.wheels if resend else unsent(calls, gathered)
    if not missing and _is_there(calls, lock.key, len(lock.to_json()), lock.digest):
        calls.say(f"wheelhouse {lock.digest[:12]} is in the bucket already")
        return 0
    for number, wheel in enumerate(missing, start=1):
        path = gathered.folder / wheel.filename
        _refuse_changed(path, wheel)
        calls.say(f"uploading wheel {number} of {len(missing)}: {wheel.filename} ({wheel.size / 1e6:.1f} MB)")
        _send(calls, path, wheel.key, wheel.sha256)
    _send(calls, gathered.folder / "lock.json", lock.key, lock.digest)
    return sum(wheel.size for wheel in missing)


def _is_there(calls: HostCalls, key: str, size: int, sha256: str) -> bool:
    """Return whether the bucket has our object; one that somebody put over it lacks our note."""
    stored = calls.aws.s3.head_object(calls.deployment.bucket, key)
    return stored is not None and (stored.size, stored.metadata.get("sha256")) == (size, sha256)


def _send(calls: HostCalls, path: Path, key: str, sha256: str) -> None:
    calls.aws.s3.upload_file(path, calls.deployment.bucket, key, metadata={"sha256": sha256})


def _refuse_changed(path: Path, wheel: Wheel) -> None:
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != wheel.sha256:
        raise WheelsMissing(
            f"{path} has been changed since it was gathered.", f"Remove {path.parent} and ship again."
        )
