from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from provisioning.aws.ec2_capacity import Ec2Capacity, RunningRecord
from provisioning.aws.service_quotas import ServiceQuotas
from provisioning.aws.sts import Sts
from provisioning.doctor import examine
from provisioning.errors import AccessDenied, CredentialsMissing
from provisioning.findings import Level
from tests.provisioning.declared import NoPages, declare_aws
from tests.provisioning.declared_hosts import DeclaredEc2

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pytest

    from provisioning.aws import Aws
    from provisioning.findings import Finding


class Region(DeclaredEc2):
    def __init__(self, *offered: str) -> None:
        super().__init__()
        self.offered = offered

    def instance_type_zones(self, instance_types: Sequence[str]) -> dict[str, tuple[str, ...]]:
        return {name: ("us-west-2a",) for name in instance_types if name in self.offered}


def account(*offered: str) -> Aws:
    aws = declare_aws().aws
    client: Any = NoPages()
    aws.ec2, aws.sts = Region(*offered), Sts(client)
    return aws


def look(*accelerators: str, offered: tuple[str, ...] = ("c7i.xlarge",)) -> dict[str, Finding]:
    found = examine(lambda: account(*offered), accelerators or ("c7i.xlarge",), "us-west-2")
    return {finding.code: finding for finding in found}


def test_a_machine_and_an_account_that_are_ready() -> None:
    found = look()
    assert not [finding for finding in found.values() if finding.blocks]
    assert found["python"].message == f"Python {'.'.join(map(str, sys.version_info[:3]))}"
    assert "account 123456789012" in found["credentials"].message
    assert found["offering"].message == "c7i.xlarge is offered in us-west-2a"


def test_a_type_the_region_lacks_blocks() -> None:
    found = look(offered=())
    assert found["type-not-offered"].level is Level.ERROR
    assert "us-west-2" in found["type-not-offered"].message


class Vcpus(Ec2Capacity):
    def vcpus(self, instance_types: Iterable[str]) -> dict[str, int]:
        return dict.fromkeys(instance_types, 4)

    def running(self) -> tuple[RunningRecord, ...]:
        return (RunningRecord(instance_type="m5.xlarge", is_spot=False, tags={}),)


class SomeQuotas(ServiceQuotas):
    """Quotas of which that of Inf instances may not be read, and that of G instances is nothing."""

    def applied(self, service: str, code: str) -> float:
        if code == "L-1945791B":
            call = "servicequotas:GetServiceQuota"
            raise AccessDenied(f"{call} was answered AccessDenied.", operation=call)
        return {"L-1216C47A": 96.0, "L-DB2E81BA": 0.0}[code]


def test_each_quota_has_a_line_with_its_own_state() -> None:
    def opened() -> Aws:
        aws = account("c7i.xlarge", "inf2.xlarge", "g6.xlarge")
        aws.ec2_capacity, aws.service_quotas = Vcpus(NoPages()), SomeQuotas(None)  # type: ignore[arg-type]
        return aws

    found = examine(opened, ("c7i.xlarge", "inf2.xlarge", "g6.xlarge"), "us-west-2")
    quotas = {each.code: each for each in found if each.code.startswith("quota")}
    assert [(each.level, code) for code, each in quotas.items()] == [
        (Level.INFO, "quota"),
        (Level.WARNING, "quota-unknown"),
        (Level.ERROR, "quota-too-small"),
    ]
    assert quotas["quota"].message == "Running On-Demand Standard instances: 4 of 96 vCPUs in use"
    assert "'Running On-Demand Inf instances' was not checked" in quotas["quota-unknown"].message
    assert "'Running On-Demand G and VT instances' allows 0" in quotas["quota-too-small"].message


def test_a_compiler_that_is_not_here_is_a_warning_for_its_accelerator() -> None:
    finding = look("inf2.xlarge", offered=("inf2.xlarge",))["toolchain-missing"]
    assert finding.level is Level.WARNING
    assert "torch_neuronx" in finding.message
    assert "--emulate" in finding.remedy


def test_an_account_that_cannot_be_asked_is_one_finding_beside_the_machines() -> None:
    def closed() -> Aws:
        raise CredentialsMissing("There are no credentials.", "Sign in.")

    found = {each.code: each for each in examine(closed, ("c7i.xlarge",), "us-west-2")}
    assert found["credentials-missing"].blocks
    assert found["credentials-missing"].remedy == "Sign in."
    assert {"python", "node", "torch"} <= set(found)


def test_a_node_that_does_not_run_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JSII_NODE", "/nowhere/node")
    assert look()["node"].blocks
    monkeypatch.setenv("JSII_NODE", "/bin/false")
    assert look()["node"].blocks
