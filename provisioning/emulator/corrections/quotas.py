"""Corrections of Service Quotas: the account's vCPU quotas are known, as those of any account are."""

from __future__ import annotations

from typing import Any

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.wrapping import Function, wrap
from provisioning.quotas import SERVICE, every_quota

_QUOTA = Anchor("moto.servicequotas.models:ServiceQuotasBackend.get_service_quota", "749c80b9a2256268")
_STANDARD_VCPUS, _OTHER_VCPUS = 1152.0, 256.0


def _known(original: Function) -> Function:
    def get_service_quota(self: Any, service_code: str, quota_code: str) -> dict[str, Any]:
        names = {quota.code: quota.name for quota in every_quota()} if service_code == SERVICE else {}
        if quota_code not in names:
            found: dict[str, Any] = original(self, service_code, quota_code)
            return found
        return {
            "ServiceCode": service_code,
            "QuotaCode": quota_code,
            "QuotaName": names[quota_code],
            "Value": _STANDARD_VCPUS if "Standard" in names[quota_code] else _OTHER_VCPUS,
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }

    return get_service_quota


CORRECTIONS = (
    Correction(
        name="vcpu-quotas",
        statement="An account has quotas of vCPUs by kind of instance: here 1,152 of standard ones, and 256 "
        "of each accelerated kind; starting instances is not held to them.",
        source="https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-on-demand-instances.html",
        anchors=(_QUOTA,),
        install=wrap((_QUOTA, _known)),
    ),
)
