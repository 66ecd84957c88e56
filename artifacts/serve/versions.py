"""The unpacked versions on a host: the one that is served, and the one that was served before it."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from artifacts.archive import MANIFEST_NAME, digest_file
from artifacts.canonical import SHA256_HEX, Fields
from artifacts.errors import ArtifactRefused, BadRequest
from artifacts.manifest import Manifest
from artifacts.serve.current import read_current
from artifacts.serve.scale import Scale
from artifacts.signature import SIGNATURE_NAME, check_signature

if TYPE_CHECKING:
    from pathlib import Path

    from artifacts.serve.settings import HostSettings
    from artifacts.signature import PublicKey


def version_directory(settings: HostSettings, digest: str) -> Path:
    """Return where a version is unpacked."""
    return settings.versions / digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Previous:
    """The version to go back to, and the request that switched away from it."""

    digest: str
    left_by: str
    python: str = ""  # the interpreter it was served with
    workers: int = (
        0  # its server processes, and requests that each took at once; 0: noted by an older version
    )
    batch: int = 0

    @property
    def scale(self) -> Scale:
        """Return how it was served."""
        return Scale(workers=self.workers, batch=self.batch)


def read_previous(home: Path) -> Previous | None:
    """Return the version that was served before, or None."""
    try:
        fields = Fields.parse((home / "previous.json").read_bytes(), "previous.json")
        noted = _read(fields)
        before = [_read(Fields(each, "previous.json")) for each in fields.optional_array("before")]
    except (FileNotFoundError, BadRequest):
        return None
    served = read_current(home)
    if served is None or served.digest != noted.digest:
        return noted
    # Its command was killed before it switched away from that version: what was before it still is.
    return before[0] if before else None


def _read(fields: Fields) -> Previous:
    return Previous(
        digest=fields.text("digest", SHA256_HEX),
        left_by=fields.text("left_by"),
        python=fields.optional_text("python"),
        workers=int(fields.optional_number("workers") or 0),
        batch=int(fields.optional_number("batch") or 0),
    )


def note_previous(home: Path, previous: Previous, before: Previous | None = None) -> None:
    """Remember a version as the one to go back to, in one step.

    While it is still served, the one to go back to is `before`.
    """
    temporary = home / ".previous.json.partial"
    document = asdict(previous) | ({"before": [asdict(before)]} if before else {})
    temporary.write_text(json.dumps(document), encoding="ascii")
    temporary.replace(home / "previous.json")


def put_back_previous(home: Path, previous: Previous | None) -> None:
    """Let the version to go back to be the one that it was."""
    if previous is None:
        (home / "previous.json").unlink(missing_ok=True)
    elif read_previous(home) != previous:
        note_previous(home, previous)


def signed_by(settings: HostSettings, digest: str, signer: PublicKey) -> bool:
    """Return whether an unpacked version carries this signer's signature of its manifest."""
    directory = version_directory(settings, digest)
    try:
        _check_signer(directory, Manifest.from_json((directory / MANIFEST_NAME).read_bytes()), signer)
    except (OSError, ArtifactRefused):
        return False
    return True


def _check_signer(directory: Path, manifest: Manifest, signer: PublicKey) -> None:
    signature = directory / SIGNATURE_NAME
    check_signature(manifest, signature.read_bytes() if signature.is_file() else None, signer)


def verify_version(settings: HostSettings, digest: str, signer: PublicKey | None = None) -> Manifest:
    """Return the manifest of an unpacked version whose every byte is still as it says.

    Raises ArtifactRefused: a disk is not the archive, and may have been changed since it was unpacked.
    """
    directory = version_directory(settings, digest)
    try:
        manifest = Manifest.from_json((directory / MANIFEST_NAME).read_bytes())
        found = [path for path in directory.rglob("*") if not path.is_dir() or path.is_symlink()]
        listed = [digest_file(directory / file.path, file.path) for file in manifest.files]
    except (OSError, BadRequest) as error:
        raise ArtifactRefused(f"Version {digest[:12]} cannot be read any more: {error}", _AGAIN) from error
    names = {MANIFEST_NAME, SIGNATURE_NAME, *(file.path for file in manifest.files)}
    strange = [path for path in found if path.is_symlink() or str(path.relative_to(directory)) not in names]
    if manifest.digest != digest or tuple(listed) != tuple(manifest.files) or strange:
        raise ArtifactRefused(f"Version {digest[:12]} has been changed since it was unpacked.", _AGAIN)
    if manifest.target != settings.accelerator:
        raise ArtifactRefused(f"Version {digest[:12]} is for {manifest.target}.", _AGAIN)
    if signer is not None:
        _check_signer(directory, manifest, signer)
    return manifest


_AGAIN = "Ship that artifact again: amazonei ship ARTIFACT"


_REPLACED = ".replaced-"


def put_version(settings: HostSettings, digest: str, unpacked: Path) -> None:
    """Put a version in its place; one that lies there is moved aside first, and is back if this fails.

    A server that runs from there has loaded what it needs, and keeps what it has mapped.
    """
    settle_versions(settings)
    target = version_directory(settings, digest)
    try:
        if target.exists():
            target.rename(settings.versions / f"{_REPLACED}{digest}")
        unpacked.rename(target)
    finally:
        settle_versions(settings)


def settle_versions(settings: HostSettings) -> None:
    """Put back what was moved aside for a version that did not come, and remove what has been replaced."""
    for aside in settings.versions.glob(f"{_REPLACED}*"):
        target = version_directory(settings, aside.name.removeprefix(_REPLACED))
        if target.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(target)


def keep_versions(versions: Path, digests: set[str]) -> None:
    """Remove every other version."""
    for directory in versions.iterdir():
        if directory.name not in digests and not directory.name.startswith("."):
            shutil.rmtree(directory, ignore_errors=True)
