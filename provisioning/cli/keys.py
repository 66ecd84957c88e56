"""The keys of artifacts, by option, environment or `[signing]`: read before any work is done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from artifacts.signature import PublicKey
    from provisioning.cli.options import Context

_FILE = click.Path(path_type=Path, dir_okay=False)

sign_key_option = click.option(
    "--sign-key",
    type=_FILE,
    envvar="AMAZONEI_SIGN_KEY",
    help="Private key (PEM, ECDSA P-256) to sign the artifact with.",
)
public_key_option = click.option(
    "--key",
    "public_key",
    type=_FILE,
    envvar="AMAZONEI_KEY",
    help="Public key (PEM) that must have signed the artifact.",
)


def signing_key(context: Context, given: Path | None) -> EllipticCurvePrivateKey | None:
    """Return the private key to sign with, or None when nobody named one; raise `BadRequest`."""
    from provisioning.config import parse_signing

    path = given or parse_signing(context.document).sign_key
    if path is None:
        return None
    from provisioning.signing import read_signer

    return read_signer(path)


def required_signer(context: Context, given: Path | None) -> PublicKey | None:
    """Return the key whose signature is required, or None when nobody named one; raise `BadRequest`."""
    from provisioning.config import parse_signing

    path = given or parse_signing(context.document).public_key
    if path is None:
        return None
    from provisioning.signing import read_public_key

    return read_public_key(path)
