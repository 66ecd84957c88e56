"""Who vouches for an artifact: its OpenSSF model signature, checked before anything else is believed.

The signature is a Sigstore bundle (v0.3) around a DSSE envelope around an in-toto statement of predicate
`https://model_signing/signature/v1.0`, signed by ECDSA on P-256 with SHA-256: what `model_signing verify key`
accepts over the unpacked archive (github.com/sigstore/model-transparency, 1.1.1). It lies in the archive as
`model.sig` and names the SHA-256 of every other file, the manifest's among them.

It proves that whoever holds the private key signed exactly this artifact. It does not say when, nor that the
key was not stolen, nor that the model is harmless.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts.errors import ArtifactRefused, BadRequest

if TYPE_CHECKING:
    from artifacts.manifest import Manifest

SIGNATURE_NAME = "model.sig"
MAX_SIGNATURE_BYTES = 1 << 18
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_PREDICATE_TYPE = "https://model_signing/signature/v1.0"
# DER of a SubjectPublicKeyInfo for an uncompressed point on P-256 (RFC 5480): this, then 64 bytes.
_P256_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + b"\x04"
_PEM = re.compile(rb"\s*-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]{1,200})-----END PUBLIC KEY-----\s*")
_KEY_HINT = (
    "Make a pair: openssl ecparam -name prime256v1 -genkey -noout -out signing.key; "
    "openssl ec -in signing.key -pubout -out signing.pub"
)
_SIGN = "Sign it with: amazonei compile … --sign-key KEY, or give the key of who signed it."


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key on P-256, as the DER of its SubjectPublicKeyInfo."""

    der: bytes

    @classmethod
    def parse(cls, data: bytes) -> PublicKey:
        """Read a PEM public key; raises BadRequest for any other kind of key, a private one above all."""
        if b"PRIVATE KEY" in data:
            raise BadRequest("This is a private key, where the public one belongs.", _KEY_HINT)
        match = _PEM.fullmatch(data)
        try:
            der = base64.b64decode(b"".join(match[1].split()), validate=True) if match else b""
        except binascii.Error:
            der = b""
        if len(der) != len(_P256_PREFIX) + 64 or not der.startswith(_P256_PREFIX):
            raise BadRequest("The public key is not a PEM of an ECDSA key on P-256.", _KEY_HINT)
        return cls(der)

    @property
    def pem(self) -> str:
        """Return the key as `openssl` writes it."""
        text = base64.b64encode(self.der).decode("ascii")
        lines = [text[start : start + 64] for start in range(0, len(text), 64)]
        return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])

    @property
    def fingerprint(self) -> str:
        """Return the SHA-256 of the PEM, the hint that a model signature carries: `sha256sum signing.pub`."""
        return hashlib.sha256(self.pem.encode("ascii")).hexdigest()


def statement(manifest: Manifest) -> dict[str, Any]:
    """Return what is signed: the digest of every file of the archive, and one digest over these."""
    digests = {"manifest.json": manifest.digest} | {file.path: file.sha256 for file in manifest.files}
    resources = [
        {"name": name, "algorithm": "sha256", "digest": digest} for name, digest in sorted(digests.items())
    ]
    root = hashlib.sha256(b"".join(bytes.fromhex(resource["digest"]) for resource in resources))
    return {
        "_type": _STATEMENT_TYPE,
        "subject": [{"name": manifest.name, "digest": {"sha256": root.hexdigest()}}],
        "predicateType": _PREDICATE_TYPE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": [SIGNATURE_NAME],
            },
            "resources": resources,
        },
    }


def signed_bytes(payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding, the bytes under the signature."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode("ascii"), len(payload), payload)


def bundle(payload: bytes, signature: bytes, signer: PublicKey) -> bytes:
    """Return the signature file of a payload that was signed."""
    document = {
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {"publicKey": {"hint": signer.fingerprint}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode("ascii"),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode("ascii"), "keyid": ""}],
        },
    }
    return json.dumps(document, sort_keys=True, indent=1).encode("ascii")


@dataclass(frozen=True, slots=True)
class _Envelope:
    hint: str
    payload: bytes
    signature: bytes


def claimed_signer(data: bytes) -> str:
    """Return the fingerprint that a signature file claims, which nobody has checked yet."""
    return _open(data).hint


def check_signature(manifest: Manifest, data: bytes | None, signer: PublicKey) -> None:
    """Raise ArtifactRefused unless `data` is the signer's signature of this manifest and its files."""
    name = f"{signer.fingerprint[:16]}…"
    if data is None:
        raise ArtifactRefused(f"The artifact is not signed; a signature by key {name} is required.", _SIGN)
    envelope = _open(data)
    if envelope.hint != signer.fingerprint:
        raise ArtifactRefused(f"The artifact is signed by key {envelope.hint[:16]}…, not by {name}", _SIGN)
    if not _verified(signer, envelope.signature, signed_bytes(envelope.payload)):
        raise ArtifactRefused(f"The signature was altered, or is not of key {name}", _SIGN)
    if not _same(envelope.payload, statement(manifest)):
        raise ArtifactRefused("The signature is of another artifact.", _SIGN)


def _open(data: bytes) -> _Envelope:
    try:
        document = json.loads(data)
        envelope = document["dsseEnvelope"]
        (signature,) = envelope["signatures"]
        opened = _Envelope(
            hint=str(document["verificationMaterial"]["publicKey"]["hint"]),
            payload=base64.b64decode(envelope["payload"], validate=True),
            signature=base64.b64decode(signature["sig"], validate=True),
        )
        types = (document["mediaType"], envelope["payloadType"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactRefused(f"The signature cannot be read: {error!r}.", _SIGN) from error
    if types != (BUNDLE_TYPE, PAYLOAD_TYPE):
        raise ArtifactRefused(f"The signature is of another kind: {', '.join(map(str, types))}.", _SIGN)
    return opened


def _same(payload: bytes, wanted: dict[str, Any]) -> bool:
    """Return whether a signed payload says what is wanted: the same type, and the same files."""
    try:
        said = json.loads(payload)
        kinds = (said["_type"], said["predicateType"])
        resources = said["predicate"]["resources"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    return kinds == (_STATEMENT_TYPE, _PREDICATE_TYPE) and resources == wanted["predicate"]["resources"]


def _verified(signer: PublicKey, signature: bytes, message: bytes) -> bool:
    """Check ECDSA with the `cryptography` library, or where a host has none with its `openssl` command."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_der_public_key
    except ImportError:
        return verified_by_openssl(signer, signature, message)
    try:
        key = load_der_public_key(signer.der)
        assert isinstance(key, ec.EllipticCurvePublicKey)  # noqa: S101 - PublicKey.parse saw to it
        key.verify(signature, message, ec.ECDSA(SHA256()))
    except (InvalidSignature, ValueError):  # ValueError: not a point of the curve
        return False
    return True


def verified_by_openssl(signer: PublicKey, signature: bytes, message: bytes) -> bool:
    """Check ECDSA with the command that every Linux image carries; raises ArtifactRefused without it."""
    with tempfile.TemporaryDirectory(prefix="amazonei-signature-") as scratch:
        key, given = Path(scratch, "signer.pub"), Path(scratch, "signature")
        key.write_text(signer.pem, encoding="ascii")
        given.write_bytes(signature)
        command = ["openssl", "dgst", "-sha256", "-verify", str(key), "-signature", str(given)]
        try:
            done = subprocess.run(command, input=message, capture_output=True, check=False)
        except FileNotFoundError as error:
            raise ArtifactRefused(
                "This machine has neither Python's `cryptography` nor `openssl` to check the signature with.",
                "Install one of them.",
            ) from error
        return done.returncode == 0
