"""The AWS edge: one class per service, one method per API call, errors translated in one place.

`connect` is the only door to boto3: importing this package does not load it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provisioning.aws.connection import Aws

__all__ = ["Aws", "Credentials", "connect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A key pair given outright: the embedded AWS's own, which is in no AWS configuration file."""

    access_key: str
    secret_key: str = field(repr=False)


def connect(
    region: str,
    profile: str | None = None,
    endpoint_url: str | None = None,
    credentials: Credentials | None = None,
) -> Aws:
    """Open a session in a region; no call is made until a service is asked something.

    Raises `CredentialsMissing` when the profile does not exist.
    """
    from provisioning.aws.connection import open_session

    return open_session(region, profile, endpoint_url, credentials)


def __getattr__(name: str) -> object:
    # `from provisioning.aws import Aws` is for annotations; the class brings boto3 with it.
    if name == "Aws":
        from provisioning.aws.connection import Aws

        return Aws
    raise AttributeError(name)
