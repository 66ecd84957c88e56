"""STS: who is asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioning.aws.translation import translated

if TYPE_CHECKING:
    from mypy_boto3_sts import STSClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The account and the principal behind the credentials."""

    account: str
    arn: str


class Sts:
    """The STS calls this project makes."""

    def __init__(self, client: STSClient) -> None:
        self._client = client

    @translated("sts:GetCallerIdentity")
    def caller_identity(self) -> Identity:
        """Return whose credentials these are; needs no permission, so it is the first call of a command."""
        answer = self._client.get_caller_identity()
        return Identity(account=answer["Account"], arn=answer["Arn"])
