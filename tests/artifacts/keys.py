"""Pairs of keys for tests, made anew in each run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from provisioning.signing import public_part

if TYPE_CHECKING:
    from pathlib import Path

    from artifacts.signature import PublicKey


@dataclass(frozen=True)
class Pair:
    """A private key, its files, and what others verify with."""

    private: ec.EllipticCurvePrivateKey
    key: Path
    pub: Path

    @property
    def public(self) -> PublicKey:
        return public_part(self.private)


def make_pair(
    directory: Path, name: str = "signing", password: str = "", curve: ec.EllipticCurve | None = None
) -> Pair:
    private = ec.generate_private_key(curve or ec.SECP256R1())
    locked = serialization.BestAvailableEncryption(password.encode()) if password else None
    pair = Pair(private, directory / f"{name}.key", directory / f"{name}.pub")
    pair.key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            locked or serialization.NoEncryption(),
        )
    )
    pair.pub.write_bytes(
        private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return pair
