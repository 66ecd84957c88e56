"""Put a wheelhouse into the deployment's bucket: an object for each wheel, and the lock last."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from artifacts.serve.wheelhouse import WHEELS
from provisioning.aws.blocks import Blocks
from provisioning.errors import WheelsMissing
from provisioning.progress import Progress
from provisioning.transfers import go_on, side_by_side

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from artifacts.serve.wheelhouse import Wheel, Wheelhouse
    from provisioning.operations import HostCalls
    from provisioning.wheelhouse import Gathered


def unsent(calls: HostCalls, gathered: Gathered) -> tuple[Wheel, ...]:
    """Return the wheels that the bucket lacks; one call tells that none is, and one more which are."""
    return () if _is_there(calls, gathered.lock) else _missing(calls, gathered.lock)


def supply(calls: HostCalls, gathered: Gathered, *, resend: bool = False) -> int:
    """Send what the bucket lacks, or all of it again; return how many bytes of wheels that were.

    Raises `WheelsMissing` when a file of the local cache is not what the lock says any more.
    """
    lock = gathered.lock
    if not resend and _is_there(calls, lock):
        calls.say(f"wheelhouse {lock.digest[:12]} is in the bucket already")
        return 0
    wheels = lock.wheels if resend else _missing(calls, lock)
    size = sum(wheel.size for wheel in wheels)
    calls.say(f"uploading {len(wheels)} of {len(lock.wheels)} wheels ({size / 1e6:.1f} MB)")
    _send(calls, gathered.folder, wheels)
    # Another ship of the same wheels may have written it meanwhile, then with the same bytes.
    note = {"sha256": lock.digest}
    calls.aws.s3.put_noted(calls.deployment.bucket, lock.key, lock.to_json(), note, only_if_absent=False)
    return size


def _is_there(calls: HostCalls, lock: Wheelhouse) -> bool:
    """Return whether the bucket has the lock, and so its wheels; one put over ours lacks our note."""
    stored = calls.aws.s3.head_object(calls.deployment.bucket, lock.key)
    wanted = (len(lock.to_json()), lock.digest)
    return stored is not None and (stored.size, stored.metadata.get("sha256")) == wanted


def _missing(calls: HostCalls, lock: Wheelhouse) -> tuple[Wheel, ...]:
    """Return the wheels that are not in the bucket with their size; hosts hash what they fetch."""
    there = {each.key: each.size for each in calls.aws.s3.listed(calls.deployment.bucket, WHEELS)}
    return tuple(wheel for wheel in lock.wheels if there.get(wheel.key) != wheel.size)


def _send(calls: HostCalls, folder: Path, wheels: Sequence[Wheel]) -> None:
    """Send wheels, several at once; S3 checks each against the digest that its key is made of."""
    progress = Progress(sum(wheel.size for wheel in wheels), calls.clock, calls.say)

    def told(count: int) -> None:
        go_on()
        progress.add(count)

    def send(wheel: Wheel) -> None:
        path = folder / wheel.filename
        digest = _refuse_changed(path, wheel)
        with path.open("rb") as stream:
            body = Blocks(stream.fileno(), [(0, wheel.size)], told)
            calls.aws.s3.put_blocks(calls.deployment.bucket, wheel.key, body, digest)

    side_by_side(wheels, send)


def _refuse_changed(path: Path, wheel: Wheel) -> bytes:
    """Return the SHA-256 of a wheel; raises `WheelsMissing` when it is not the one that was gathered."""
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256")
    if found.hexdigest() != wheel.sha256:
        raise WheelsMissing(
            f"{path} has been changed since it was gathered.", f"Remove {path.parent} and ship again."
        )
    return found.digest()
