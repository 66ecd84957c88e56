"""A certificate of our own making in an account, as a person imports one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def import_certificate(acm: Any, *, lasting: timedelta = timedelta(days=1)) -> str:
    """Give the account of this client a certificate; return its ARN."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "models.internal")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + lasting)
    encoding = serialization.Encoding.PEM
    secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    imported = acm.import_certificate(
        Certificate=made.sign(key, hashes.SHA256()).public_bytes(encoding), PrivateKey=secret
    )
    return str(imported["CertificateArn"])
