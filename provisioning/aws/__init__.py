"""The AWS edge: one class per service, one method per API call, errors translated in one place.

`connect` is the only door to boto3: importing this package does not load it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provisioning.aws.connection import Aws

__all__ = ["Aws", "connect"]


def connect(region: str, profile: str | None = None, endpoint_url: str | None = None) -> Aws:
    """Open a session in a region; no call is made until a service is asked something.

    Raises `CredentialsMissing` when the profile does not exist.
    """
    from provisioning.aws.connection import open_session

    return open_session(region, profile, endpoint_url)


def __getattr__(name: str) -> object:
    # `from provisioning.aws import Aws` is for annotations; the class brings boto3 with it.
    if name == "Aws":
        from provisioning.aws.connection import Aws

        return Aws
    raise AttributeError(name)
