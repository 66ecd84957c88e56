"""Sign artifacts with a private key that stays a file: it is read, used and forgotten in this process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from artifacts import canonical
from artifacts.archive import add_signature, open_verified
from artifacts.errors import BadRequest
from artifacts.signature import PublicKey, bundle, signed_bytes, statement

if TYPE_CHECKING:
    from pathlib import Path

UNLOCKED_BY = "AMAZONEI_SIGN_KEY_PASSWORD"
_HINT = "Make one: openssl ecparam -name prime256v1 -genkey -noout -out signing.key"


def read_signer(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return the private key; raises BadRequest when it is missing, locked, or not on P-256."""
    password = os.environ.get(UNLOCKED_BY)
    try:
        key = serialization.load_pem_private_key(
            path.read_bytes(), password.encode() if password is not None else None
        )
    except OSError as error:
        raise BadRequest(f"The signing key {path} cannot be read: {error.strerror}.", _HINT) from error
    except TypeError as error:  # a password is missing, or one too many
        raise BadRequest(
            f"The signing key {path}: {error}.", f"Put its password into {UNLOCKED_BY}."
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadRequest(
            f"{path} is not a PEM private key, or its password is another one.", _HINT
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise BadRequest(f"The signing key {path} is not an ECDSA key on P-256.", _HINT)
    return key


def public_part(key: ec.EllipticCurvePrivateKey) -> PublicKey:
    """Return the key that others verify with."""
    return PublicKey.parse(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def sign(artifact: Path, key: ec.EllipticCurvePrivateKey) -> PublicKey:
    """Verify an artifact and put its signature into it, over one that is there; return who signed.

    The same key gives the same bytes (RFC 6979), so a signed archive is as deterministic as a plain one.
    """
    contents = open_verified(artifact)
    contents.close()
    payload = canonical.encode(statement(contents.manifest))
    signature = key.sign(signed_bytes(payload), ec.ECDSA(SHA256(), deterministic_signing=True))
    signer = public_part(key)
    add_signature(artifact, bundle(payload, signature, signer))
    open_verified(artifact, signer=signer).close()
    return signer


def read_public_key(path: Path) -> PublicKey:
    """Return the public key in a file; raises BadRequest."""
    try:
        return PublicKey.parse(path.read_bytes())
    except OSError as error:
        raise BadRequest(f"The public key {path} cannot be read: {error.strerror}.") from error
