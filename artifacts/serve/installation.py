"""Install an artifact: nothing is loaded before it is verified, nothing is switched before it answers."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts import canonical
from artifacts.archive import MANIFEST_NAME, open_verified
from artifacts.errors import ArtifactRefused, BadRequest, ServeFailed
from artifacts.manifest import Manifest
from artifacts.recipe import MAX_BYTES, Recipe, assemble, unpacked
from artifacts.serve.client import Client
from artifacts.serve.current import Current, read_current
from artifacts.serve.draining import Drain
from artifacts.serve.environments import enter_environment, go_on_in
from artifacts.serve.leftovers import remove_leftovers
from artifacts.serve.neuron import chip_count
from artifacts.serve.processor import installed_torch, processor_features, refuse_unfit
from artifacts.serve.scale import decide, fitted
from artifacts.serve.settings import HostSettings, available_cpus
from artifacts.serve.switching import report, serve_version
from artifacts.serve.versions import put_version, signed_by, verify_version, version_directory

if TYPE_CHECKING:
    from collections.abc import Callable

    from artifacts.serve.requests import InstallRequest
    from artifacts.serve.rotation import Rotation
    from artifacts.serve.scale import Scale
    from artifacts.serve.storage import Storage
    from artifacts.serve.supervision import Supervisor

READY_S = 180.0  # a Neuron program of a gigabyte loads in about a minute


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host and what its operations work with."""

    settings: HostSettings
    storage: Storage
    supervisor: Supervisor
    progress: Callable[[str], None]
    ready_s: float = READY_S
    enter: Callable[[Path], None] = go_on_in  # another interpreter, which does the command from its beginning
    drain: Drain = Drain()  # noqa: RUF009 - frozen
    rotation: Rotation | None = None  # of a host behind a load balancer
    count_chips: Callable[[], int] = chip_count
    # The one digest that a boot may replace: it read what to install before it had the lock.
    only_over: str | None = None

    def client(self, port: int) -> Client:
        """Return a client of the server on a port."""
        return Client(self.settings.address, port)

    @property
    def chips(self) -> int:
        """Return how many Neuron chips it has; an emulated one has none, whatever the machine has."""
        return 0 if self.settings.emulated else self.count_chips()


def install(host: Host, request: InstallRequest) -> dict[str, Any]:
    """Serve the requested artifact; whatever fails, the version that was served before stays."""
    if request.accelerator != host.settings.accelerator:
        raise ArtifactRefused(
            f"The artifact was shipped for {request.accelerator}; this host is {host.settings.accelerator}."
        )
    old = read_current(host.settings.home)
    if old is not None and host.only_over not in (None, old.digest):
        host.progress(f"{old.digest[:12]} was shipped meanwhile, and stays")
        return report(old, served_manifest(host.settings, old), changed=False)
    remove_leftovers(host.settings)
    enter_environment(host, request.wheelhouse)
    served = _serving(host, old, request) if old is not None else None
    if old is not None and served is not None:
        as_asked = not request.wheelhouse or old.python == host.settings.python
        if as_asked and fitted(request.scale, served, host.chips).allows(old.scale):
            if host.rotation is not None:  # a command that was broken off may have left it outside
                host.rotation.enter(old.port, host.progress)
            return report(old, served, changed=False)
        # The same version, in another environment or at another scale.
        manifest = _verified(host, request)
    else:
        manifest = _bring(host, request)
    scale = _decided(host, request.scale, manifest)
    return report(serve_version(host, manifest, scale, request.id), manifest, changed=True)


def _decided(host: Host, asked: Scale, manifest: Manifest) -> Scale:
    scale = decide(asked, manifest, 1 if host.settings.emulated else available_cpus(), host.chips)
    if scale.workers < asked.workers:
        host.progress(f"{scale.workers} workers, not {asked.workers}: there are NeuronCores for no more")
    return scale


def _serving(host: Host, current: Current, request: InstallRequest) -> Manifest | None:
    """Return the manifest where that very version answers, signed by whom the request asks; else None."""
    if current.digest != request.manifest_digest or not host.client(current.port).healthy():
        return None
    if request.signer is not None and not signed_by(host.settings, current.digest, request.signer):
        return None
    with suppress(OSError, BadRequest, ArtifactRefused):  # the disk may have lost what the server has loaded
        return served_manifest(host.settings, current)
    return None


def _verified(host: Host, request: InstallRequest) -> Manifest:
    """Return the manifest of what is unpacked already; where that was changed, it is brought anew."""
    try:
        return verify_version(host.settings, request.manifest_digest, request.signer)
    except ArtifactRefused as error:
        host.progress(error.message)
        return _bring(host, request)


def served_manifest(settings: HostSettings, current: Current) -> Manifest:
    """Return the manifest of the served version."""
    return Manifest.from_json((version_directory(settings, current.digest) / MANIFEST_NAME).read_bytes())


def _bring(host: Host, request: InstallRequest) -> Manifest:
    """Fetch, verify and unpack; returns the manifest."""
    host.settings.versions.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=host.settings.versions, prefix=".incoming-") as scratch:
        archive = Path(scratch) / "artifact.aei"
        _fetch(host, request, archive)
        with closing(
            open_verified(
                archive,
                expected_digest=request.manifest_digest,
                target=host.settings.accelerator,
                signer=request.signer,
            )
        ) as contents:
            _refuse_stand_in(contents.manifest, emulated=host.settings.emulated)
            refuse_unfit(contents.manifest, processor_features(), installed_torch())
            unpacked = Path(scratch) / "unpacked"
            unpacked.mkdir(mode=0o755)
            contents.unpack(unpacked)
            put_version(host.settings, contents.manifest.digest, unpacked)
            return contents.manifest


def _fetch(host: Host, request: InstallRequest, archive: Path) -> None:
    """Put the archive together from its pieces, each of them as the recipe says, the recipe as asked."""
    host.progress(f"fetching {request.artifact_key}")
    pieces = archive.with_name("pieces")
    recipe = _recipe(host.storage, request, archive.with_name("recipe"))
    if recipe.size != request.artifact_bytes:
        raise ArtifactRefused("The artifact does not have the size that was shipped.")
    pieces.mkdir()
    host.progress(f"fetching {len(recipe.pieces)} pieces, {recipe.size / 1e6:.1f} MB")
    host.storage.fetch_all(recipe.prefix, recipe.pieces, pieces, recipe.largest)
    assemble(recipe, pieces, archive)
    shutil.rmtree(pieces)  # before the archive is unpacked: a disk need not hold it three times


def _recipe(storage: Storage, request: InstallRequest, path: Path) -> Recipe:
    """Fetch the recipe that the request names by its document's SHA-256, and what it is a delta of."""

    def get(key: str) -> bytes:
        try:
            storage.fetch(key, path, MAX_BYTES)
        except ServeFailed as error:
            hint = "Ship it again with --resend, which writes the recipe whole."
            raise ServeFailed(f"The recipe cannot be fetched: {error.message}", hint) from error
        return path.read_bytes()

    try:
        document = unpacked(get(request.artifact_key), get)
    except ArtifactRefused as error:  # it was shipped whole, so the bucket's copy is at fault
        raise ServeFailed(error.message, error.hint) from error
    got = canonical.sha256(document)
    if got != request.artifact_sha256:
        raise ServeFailed(
            f"{request.artifact_key} has SHA-256 {got[:12]}…, not {request.artifact_sha256[:12]}….",
            "Ship it again with --resend.",
        )
    return Recipe.parse(document)


def _refuse_stand_in(manifest: Manifest, *, emulated: bool) -> None:
    if manifest.stand_in and not emulated:
        raise ArtifactRefused(
            f"{manifest.name} is a CPU stand-in for {manifest.target}, for emulated hosts only.",
            "Compile it without --emulate.",
        )
