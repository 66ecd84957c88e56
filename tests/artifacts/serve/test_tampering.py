"""Twenty-two ways to put something else on a host than what was meant; none of them is ever opened."""

from __future__ import annotations

import dataclasses
import io
import shutil
import stat
import zipfile
import zlib
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from artifacts import archive
from artifacts.recipe import packed
from artifacts.serve.requests import StatusRequest
from provisioning.signing import sign
from tests.artifacts.keys import Pair, make_pair
from tests.artifacts.serve.conftest import Machine, is_delta, put_alike
from tests.provisioning.operated import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from artifacts.compile.request import CompileResult

Entries = list[tuple[zipfile.ZipInfo, bytes]]


@dataclass(frozen=True, kw_only=True)
class Intercepted(Machine):
    """A host whose bucket somebody else writes to: what is stored under a prefix arrives changed."""

    prefix: str
    alter: Callable[[bytes], bytes]
    suffix: str = ""

    def store(self, key: str, data: bytes) -> None:
        theirs = key.startswith(self.prefix) and key.endswith(self.suffix)
        super().store(key, self.alter(data) if theirs else data)


def rezipped(change: Callable[[Entries], Entries]) -> Callable[[bytes], bytes]:
    """Return a change of the archive's entries."""

    def alter(data: bytes) -> bytes:
        with zipfile.ZipFile(io.BytesIO(data)) as old:
            entries = [(entry, old.read(entry)) for entry in old.infolist()]
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as new:
            for entry, body in change(entries):
                new.writestr(entry, body, compress_type=entry.compress_type)
        return buffer.getvalue()

    return alter


def swapped(entries: Entries) -> Entries:
    bodies = {entry.filename: body for entry, body in entries}
    pair = {"program.pt": "golden.safetensors", "golden.safetensors": "program.pt"}
    return [(entry, bodies[pair.get(entry.filename, entry.filename)]) for entry, _ in entries]


def symlinked(entries: Entries) -> Entries:
    for entry, _ in entries:
        if entry.filename == "program.pt":
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return [(entry, b"/etc/passwd" if entry.filename == "program.pt" else body) for entry, body in entries]


def bomb(entries: Entries) -> Entries:
    for entry, _ in entries:
        entry.compress_type = zipfile.ZIP_DEFLATED
    return [(entry, bytes(50_000_000) if entry.filename == "program.pt" else body) for entry, body in entries]


def with_entry(name: str) -> Callable[[Entries], Entries]:
    return lambda entries: [*entries, (zipfile.ZipInfo(name), b"import os")]


def flipped(data: bytes) -> bytes:
    return data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]


# What becomes of the objects under a prefix: the recipe, or the pieces it names.
ON_THE_WAY: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "recipe replaced": ("artifacts/models/", lambda _data: b"something else"),
    "recipe truncated": ("artifacts/models/", lambda data: data[: len(data) // 2]),
    "pieces replaced": ("artifacts/pieces/", lambda data: bytes(len(data))),
    "pieces far larger": ("artifacts/pieces/", lambda data: data + bytes(20 << 20)),
    "pieces truncated": ("artifacts/pieces/", lambda data: data[:-1]),
}
# What becomes of the archive before it is stored: the request speaks of it, only the manifest can tell.
BEFOREHAND: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda data: data[: len(data) // 2],
    "files swapped inside": rezipped(swapped),
    "a symbolic link inside": rezipped(symlinked),
    "a bomb inside": rezipped(bomb),
    "a way out of the directory": rezipped(with_entry("../evil.py")),
    "a file too many": rezipped(with_entry("sitecustomize.py")),
}


def intercepted(machine: Machine, prefix: str, alter: Callable[[bytes], bytes]) -> Intercepted:
    return Intercepted(root=machine.root, address=machine.address, prefix=prefix, alter=alter)


def assert_nothing_was_opened(machine: Machine, steps: str) -> None:
    versions = machine.home / "versions"
    unpacked = [path.name for path in versions.iterdir()] if versions.exists() else []
    assert unpacked == []
    assert "starting" not in steps
    assert machine.processes() == []
    assert not (machine.home / "current.json").exists()


@pytest.mark.parametrize("way", ON_THE_WAY)
def test_what_was_changed_on_the_way_is_refused_before_it_is_opened(
    way: str, new_machine: Callable[..., Machine], two_layers: CompileResult
) -> None:
    prefix, alter = ON_THE_WAY[way]
    machine = intercepted(new_machine(), prefix, alter)
    response = machine.install(two_layers.artifact, two_layers.digest)
    assert response.code == 5, response.document
    assert response.document["ok"] is False
    assert_nothing_was_opened(machine, response.steps)


# What becomes of the recipe that a new version's is a delta of; and of the delta.
OF_A_DELTA: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "base replaced": ("artifacts/pieces/", lambda _data: b"something else"),
    "another base": ("artifacts/pieces/", lambda data: packed(zlib.decompress(data).replace(b"PK", b"KP"))),
    "delta of another base": (
        "artifacts/models/",
        lambda data: zlib.compress(rebased(zlib.decompress(data))),
    ),
}


def rebased(document: bytes) -> bytes:
    head, end, rest = document.partition(b"\n")
    return head + end + bytes(32) + rest[32:] if head.startswith(b"amazonei-delta/") else document


@pytest.mark.parametrize("way", OF_A_DELTA)
def test_what_a_delta_was_made_of_is_refused_when_it_was_changed(
    way: str, new_machine: Callable[..., Machine], two_layers: CompileResult, tmp_path: Path
) -> None:
    prefix, alter = OF_A_DELTA[way]
    plain, bucket = new_machine(), Bucket()
    put_alike(bucket, two_layers.artifact, tmp_path)
    machine = Intercepted(
        root=plain.root, address=plain.address, prefix=prefix, alter=alter, suffix=".recipe"
    )
    response = machine.install(two_layers.artifact, two_layers.digest, bucket)
    assert is_delta(bucket, two_layers.digest)
    assert response.code == 5, response.document
    assert_nothing_was_opened(machine, response.steps)


@pytest.mark.parametrize("way", BEFOREHAND)
def test_what_was_changed_beforehand_is_refused_before_it_is_opened(
    way: str, new_machine: Callable[..., Machine], two_layers: CompileResult, tmp_path: Path
) -> None:
    machine, changed = new_machine(), tmp_path / "changed.aei"
    changed.write_bytes(BEFOREHAND[way](two_layers.artifact.read_bytes()))
    response = machine.install(changed, two_layers.digest)
    assert response.code == 4, response.document
    assert response.document["error"]["code"] == "artifact-refused"
    assert_nothing_was_opened(machine, response.steps)
    assert not (machine.root / "evil.py").exists()


def test_a_request_that_was_altered_is_not_obeyed(
    new_machine: Callable[..., Machine], two_layers: CompileResult
) -> None:
    machine = intercepted(new_machine(), "artifacts/requests/", lambda data: data + b" ")
    response = machine.install(two_layers.artifact, two_layers.digest)
    assert (response.code, response.document) == (5, {})
    assert "has SHA-256" in response.summary["error"]["message"]
    assert_nothing_was_opened(machine, response.steps)


def test_a_bundle_that_was_altered_is_not_run(
    new_machine: Callable[..., Machine], two_layers: CompileResult
) -> None:
    machine = intercepted(new_machine(), "artifacts/bundles/", flipped)
    response = machine.install(two_layers.artifact, two_layers.digest)
    assert (response.code, response.document) == (4, {})
    assert "host bundle does not have the digest" in response.steps
    assert not list((machine.home / "bundles").iterdir())
    assert_nothing_was_opened(machine, response.steps)


def test_an_artifact_of_another_target_is_refused(
    new_machine: Callable[..., Machine], two_layers: CompileResult, tmp_path: Path
) -> None:
    with closing(archive.open_verified(two_layers.artifact)) as contents:
        contents.unpack(tmp_path)
        manifest = dataclasses.replace(contents.manifest, target="inf2.xlarge")
    sources = {file.path: tmp_path / file.path for file in manifest.files}
    other = archive.pack(manifest, sources, tmp_path)
    machine = new_machine()
    response = machine.install(other, manifest.digest)
    assert response.code == 4
    assert "inf2.xlarge" in response.document["error"]["message"]
    assert_nothing_was_opened(machine, response.steps)


def test_an_older_version_in_the_place_of_the_asked_one_is_refused(
    new_machine: Callable[..., Machine], two_layers: CompileResult, two_layers_retrained: CompileResult
) -> None:
    machine = new_machine()
    response = machine.install(two_layers.artifact, two_layers_retrained.digest)
    assert response.code == 4
    assert response.document["error"]["code"] == "artifact-refused"
    assert_nothing_was_opened(machine, response.steps)


def unsigned(artifact: Path, _: Pair) -> None:
    with closing(archive.open_verified(artifact)) as contents:
        assert contents.signature is None


def by_another(artifact: Path, _: Pair) -> None:
    sign(artifact, make_pair(artifact.parent, "stranger").private)


def altered(artifact: Path, pair: Pair) -> None:
    sign(artifact, pair.private)
    with closing(archive.open_verified(artifact)) as contents:
        signature = contents.signature or b""
    archive.add_signature(artifact, signature.replace(b'"payload": "ey', b'"payload": "eY'))


def of_another(artifact: Path, pair: Pair) -> None:
    sign(artifact, pair.private)
    with closing(archive.open_verified(artifact)) as contents:
        signature = contents.signature or b""
        contents.unpack(artifact.parent)
        manifest = dataclasses.replace(contents.manifest, name="other")
    artifact.unlink()
    files = {file.path: artifact.parent / file.path for file in manifest.files}
    archive.pack(manifest, files, artifact.parent).rename(artifact)
    archive.add_signature(artifact, signature)


UNVOUCHED: dict[str, tuple[Callable[[Path, Pair], None], str]] = {
    "unsigned": (unsigned, "not signed"),
    "signed by another": (by_another, "signed by key"),
    "an altered signature": (altered, "altered"),
    "the signature of another artifact": (of_another, "of another artifact"),
}


@pytest.mark.parametrize("way", UNVOUCHED)
def test_what_the_asked_signer_does_not_vouch_for_is_refused_before_it_is_opened(
    way: str, new_machine: Callable[..., Machine], two_layers: CompileResult, tmp_path: Path
) -> None:
    make, message = UNVOUCHED[way]
    pair, artifact = make_pair(tmp_path), tmp_path / "copy.aei"
    shutil.copy(two_layers.artifact, artifact)
    make(artifact, pair)
    with closing(archive.open_verified(artifact)) as contents:
        digest = contents.manifest.digest
    machine = new_machine()
    response = machine.install(artifact, digest, signer=pair.public)
    assert response.code == 4, response.document
    assert response.document["error"]["code"] == "artifact-refused"
    assert message in response.document["error"]["message"]
    assert_nothing_was_opened(machine, response.steps)


@pytest.mark.nightly  # it starts two servers; what refuses is above, what accepts in test_signature.py
def test_what_its_signer_vouches_for_is_served_and_asked_for_again_by_every_request(
    new_machine: Callable[..., Machine], two_layers: CompileResult, tmp_path: Path
) -> None:
    pair, stranger = make_pair(tmp_path), make_pair(tmp_path, "stranger")
    machine, plain = new_machine(), two_layers.artifact
    signed = tmp_path / "signed.aei"
    shutil.copy(plain, signed)
    sign(signed, pair.private)
    assert machine.install(plain, two_layers.digest).code == 0
    # The very version is served, but nobody vouches for it yet.
    assert machine.install(plain, two_layers.digest, signer=pair.public).code == 4
    changes = [
        machine.install(signed, two_layers.digest, signer=pair.public, id=f"signed-{time}").document[
            "changed"
        ]
        for time in range(2)
    ]
    assert changes == [True, False]
    assert machine.install(signed, two_layers.digest, signer=stranger.public).code == 4
    assert machine.send(StatusRequest(id="status")).document["serving"]["healthy"]
