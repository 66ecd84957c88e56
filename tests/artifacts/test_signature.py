"""Signatures: ours, those of the reference implementation, and what somebody makes of them."""

from __future__ import annotations

import base64
import hashlib
import json
import stat
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256

from artifacts import archive
from artifacts.errors import ArtifactRefused, BadRequest
from artifacts.signature import (
    SIGNATURE_NAME,
    PublicKey,
    claimed_signer,
    signed_bytes,
    statement,
    verified_by_openssl,
)
from provisioning.signing import UNLOCKED_BY, read_public_key, read_signer, sign
from tests.artifacts.keys import Pair, make_pair
from tests.artifacts.manifests import packed

if TYPE_CHECKING:
    from collections.abc import Callable


def artifact(directory: Path, program: bytes = b"a compiled program") -> Path:
    return packed(directory, {"golden.safetensors": b"golden answer", "program.pt": program})[0]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("keys"))


def signature_of(path: Path) -> bytes:
    with closing(archive.open_verified(path)) as contents:
        assert contents.signature is not None
        return contents.signature


def test_a_signed_artifact_opens_with_its_signers_key_and_keeps_its_identity(
    tmp_path: Path, pair: Pair
) -> None:
    path = artifact(tmp_path)
    with closing(archive.open_verified(path)) as plain:
        digest = plain.manifest.digest
    assert sign(path, pair.private) == pair.public
    with closing(archive.open_verified(path, expected_digest=digest, signer=pair.public)) as contents:
        assert contents.read("program.pt") == b"a compiled program"
    assert claimed_signer(signature_of(path)) == pair.public.fingerprint


def test_the_fingerprint_is_what_sha256sum_says_of_the_public_key(pair: Pair) -> None:
    assert pair.public.fingerprint == hashlib.sha256(pair.pub.read_bytes()).hexdigest()
    assert read_public_key(pair.pub) == pair.public


def test_signing_again_gives_the_same_bytes_and_one_signature(tmp_path: Path, pair: Pair) -> None:
    path = artifact(tmp_path)
    sign(path, pair.private)
    first = path.read_bytes()
    sign(path, pair.private)
    assert path.read_bytes() == first
    with zipfile.ZipFile(path) as entries:
        assert entries.namelist() == [
            "manifest.json",
            "golden.safetensors",
            "program.pt",
            SIGNATURE_NAME,
        ]


def test_another_signer_replaces_the_signature(tmp_path: Path, pair: Pair) -> None:
    path, other = artifact(tmp_path), make_pair(tmp_path)
    sign(path, pair.private)
    sign(path, other.private)
    archive.open_verified(path, signer=other.public).close()
    with pytest.raises(ArtifactRefused, match=f"signed by key {other.public.fingerprint[:16]}"):
        archive.open_verified(path, signer=pair.public)


def put(path: Path, signature: bytes) -> None:
    """Replace the signature's entry, whatever it says."""
    archive.add_signature(path, signature)


def edited(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(signature_of(path))
    change(document)
    put(path, json.dumps(document).encode())


def flip(document: dict[str, Any]) -> None:
    (signature,) = document["dsseEnvelope"]["signatures"]
    raw = bytearray(base64.b64decode(signature["sig"]))
    raw[-1] ^= 1
    signature["sig"] = base64.b64encode(raw).decode()


def rename_in_payload(document: dict[str, Any]) -> None:
    payload = base64.b64decode(document["dsseEnvelope"]["payload"])
    document["dsseEnvelope"]["payload"] = base64.b64encode(payload.replace(b"model", b"m0del")).decode()


def unsign(path: Path, _: Pair) -> None:
    with zipfile.ZipFile(path) as old:
        entries = [(entry, old.read(entry)) for entry in old.infolist()]
    with zipfile.ZipFile(path, "w") as new:
        for entry, data in entries:
            if entry.filename != SIGNATURE_NAME:
                new.writestr(entry, data)


def of_another_artifact(path: Path, pair: Pair) -> None:
    other = artifact(path.parent / "other", b"another program")
    sign(other, pair.private)
    put(path, signature_of(other))


def of_another_statement(path: Path, pair: Pair) -> None:
    """Something else, which the same key has signed: an attestation of the build, say."""
    document = json.loads(signature_of(path))
    payload = json.dumps({"_type": "https://in-toto.io/Statement/v1", "predicateType": "other"}).encode()
    signature = pair.private.sign(signed_bytes(payload), ec.ECDSA(SHA256()))
    document["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    document["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    put(path, json.dumps(document).encode())


def with_the_hint_of_another(path: Path, pair: Pair) -> None:
    stranger = make_pair(path.parent, "stranger")
    sign(path, stranger.private)
    document = json.loads(signature_of(path))
    document["verificationMaterial"]["publicKey"]["hint"] = pair.public.fingerprint
    put(path, json.dumps(document).encode())


TAMPERINGS: dict[str, tuple[Callable[[Path, Pair], None], str]] = {
    "removed": (unsign, "is not signed; a signature by key"),
    "signature altered": (lambda path, _: edited(path, flip), "was altered"),
    "statement altered": (lambda path, _: edited(path, rename_in_payload), "was altered"),
    "of another artifact": (of_another_artifact, "of another artifact"),
    "of another statement": (of_another_statement, "of another artifact"),
    "signed by a stranger": (with_the_hint_of_another, "was altered, or is not of key"),
    "no JSON": (lambda path, _: put(path, b"\x00\xff"), "cannot be read"),
    "two signatures": (
        lambda path, _: edited(path, lambda d: d["dsseEnvelope"].update(signatures=[{}, {}])),
        "cannot be read",
    ),
    "another type": (
        lambda path, _: edited(path, lambda d: d.update(mediaType="text/plain")),
        "another kind",
    ),
    "huge": (lambda path, _: put(path, b" " * 300_000), "larger than 256 KiB"),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_an_artifact_with_a_wrong_signature_is_refused(tampering: str, tmp_path: Path, pair: Pair) -> None:
    path = artifact(tmp_path)
    sign(path, pair.private)
    tamper, message = TAMPERINGS[tampering]
    tamper(path, pair)
    with pytest.raises(ArtifactRefused, match=message) as refused:
        archive.open_verified(path, signer=pair.public)
    assert refused.value.exit_code == 4
    assert refused.value.hint


def test_a_signature_that_is_a_symbolic_link_is_refused(tmp_path: Path, pair: Pair) -> None:
    path = artifact(tmp_path)
    entry = zipfile.ZipInfo(SIGNATURE_NAME, (1980, 1, 1, 0, 0, 0))
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as entries:
        entries.writestr(entry, "/etc/passwd")
    with pytest.raises(ArtifactRefused, match="not a regular file"):
        archive.open_verified(path, signer=pair.public)


def test_openssl_agrees_with_the_library(tmp_path: Path, pair: Pair) -> None:
    path = artifact(tmp_path)
    sign(path, pair.private)
    envelope = json.loads(signature_of(path))["dsseEnvelope"]
    payload, signature = (
        base64.b64decode(text) for text in (envelope["payload"], envelope["signatures"][0]["sig"])
    )
    assert verified_by_openssl(pair.public, signature, signed_bytes(payload))
    assert not verified_by_openssl(pair.public, signature, signed_bytes(payload + b" "))
    assert not verified_by_openssl(make_pair(tmp_path).public, signature, signed_bytes(payload))


def test_a_machine_without_the_library_verifies_with_openssl(tmp_path: Path, pair: Pair) -> None:
    path, other = artifact(tmp_path), make_pair(tmp_path)
    sign(path, pair.private)
    script = f"""
import sys
sys.modules["cryptography"] = None
from pathlib import Path
from artifacts.archive import open_verified
from artifacts.errors import ArtifactRefused
from artifacts.signature import PublicKey
open_verified(Path({str(path)!r}), signer=PublicKey.parse({pair.public.pem.encode()!r}))
try:
    open_verified(Path({str(path)!r}), signer=PublicKey.parse({other.public.pem.encode()!r}))
except ArtifactRefused:
    print("refused")
"""
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "refused"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_reference_implementation_accepts_ours_and_we_accept_its_own(tmp_path: Path, pair: Pair) -> None:
    from model_signing import hashing, signing, verifying

    path, unpacked = artifact(tmp_path), tmp_path / "unpacked"
    sign(path, pair.private)
    unpacked.mkdir()
    with closing(archive.open_verified(path)) as contents:
        contents.unpack(unpacked)
    # Their methods that return `self` have types, their constructors have none.
    new_files: Callable[[], hashing.Config] = hashing.Config
    new_signing: Callable[[], signing.Config] = signing.Config
    new_verifying: Callable[[], verifying.Config] = verifying.Config
    files = new_files().set_ignored_paths(paths=[unpacked / SIGNATURE_NAME], ignore_git_paths=False)
    verifier = new_verifying().use_elliptic_key_verifier(public_key=pair.pub).set_hashing_config(files)
    verifier.verify(unpacked, unpacked / SIGNATURE_NAME)
    (unpacked / "program.pt").write_bytes(b"another program")
    with pytest.raises(ValueError, match=r"program\.pt"):
        verifier.verify(unpacked, unpacked / SIGNATURE_NAME)

    (unpacked / "program.pt").write_bytes(b"a compiled program")
    theirs = tmp_path / "theirs.sig"
    signer = new_signing().use_elliptic_key_signer(private_key=pair.key).set_hashing_config(files)
    signer.sign(unpacked, theirs)
    put(path, theirs.read_bytes())
    archive.open_verified(path, signer=pair.public).close()


def test_a_statement_names_every_file_and_the_manifest(tmp_path: Path) -> None:
    with closing(archive.open_verified(artifact(tmp_path))) as contents:
        manifest = contents.manifest
    resources = statement(manifest)["predicate"]["resources"]
    assert {resource["name"]: resource["digest"] for resource in resources} == {
        "golden.safetensors": hashlib.sha256(b"golden answer").hexdigest(),
        "manifest.json": hashlib.sha256(manifest.canonical()).hexdigest(),
        "program.pt": hashlib.sha256(b"a compiled program").hexdigest(),
    }


def ed25519_public() -> bytes:
    return (
        ed25519.Ed25519PrivateKey.generate()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a PEM"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "not a PEM"),
        (b"-----BEGIN PUBLIC KEY-----\nA===A\n-----END PUBLIC KEY-----\n", "not a PEM"),
        (ed25519_public(), "not a PEM"),
        (b"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n", "private key"),
    ],
)
def test_what_is_no_public_key_on_p256_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(BadRequest, match=message) as refused:
        PublicKey.parse(data)
    assert "openssl" in refused.value.hint


def test_a_locked_key_asks_for_its_password_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = make_pair(tmp_path, password="open sesame")
    monkeypatch.delenv(UNLOCKED_BY, raising=False)
    with pytest.raises(BadRequest) as refused:
        read_signer(pair.key)
    assert UNLOCKED_BY in refused.value.hint
    monkeypatch.setenv(UNLOCKED_BY, "wrong")
    with pytest.raises(BadRequest, match="password is another"):
        read_signer(pair.key)
    monkeypatch.setenv(UNLOCKED_BY, "open sesame")
    assert read_signer(pair.key).public_key() == pair.private.public_key()


def test_a_key_on_another_curve_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="not an ECDSA key on P-256"):
        read_signer(make_pair(tmp_path, curve=ec.SECP384R1()).key)
    with pytest.raises(BadRequest, match="cannot be read"):
        read_signer(tmp_path / "missing.key")
    with pytest.raises(BadRequest, match="not a PEM private key"):
        read_signer(Path(__file__))
