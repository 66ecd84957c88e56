"""Service Quotas: how much of a service the account may use."""

from __future__ import annotations

from typing import Any

from provisioning.aws.translation import translated


class ServiceQuotas:
    """The Service Quotas calls this project makes."""

    def __init__(self, client: Any) -> None:  # its types are not among those we install
        self._client = client

    @translated("servicequotas:GetServiceQuota")
    def applied(self, service: str, code: str) -> float:
        """Return the value that holds for the account; raises NotFound where only AWS's default is known."""
        return float(self._client.get_service_quota(ServiceCode=service, QuotaCode=code)["Quota"]["Value"])

    @translated("servicequotas:GetAWSDefaultServiceQuota")
    def default(self, service: str, code: str) -> float:
        """Return AWS's own value; raises NotFound where there is none."""
        answer = self._client.get_aws_default_service_quota(ServiceCode=service, QuotaCode=code)
        return float(answer["Quota"]["Value"])
