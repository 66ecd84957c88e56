"""Certificate Manager: the certificates that load balancers answer with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provisioning.aws.translation import translated

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRecord:
    """A certificate, and whether it can be used."""

    status: str
    until: datetime | None  # None: it was never issued


class Acm:
    """The Certificate Manager calls this project makes."""

    def __init__(self, client: Any) -> None:  # its types are not among those we install
        self._client = client

    @translated("acm:DescribeCertificate")
    def certificate(self, arn: str) -> CertificateRecord:
        """Return a certificate; raises NotFound where the region has none of that ARN."""
        facts = self._client.describe_certificate(CertificateArn=arn)["Certificate"]
        return CertificateRecord(status=facts["Status"], until=facts.get("NotAfter"))
