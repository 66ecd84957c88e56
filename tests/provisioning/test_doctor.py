from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from provisioning.aws.sts import Sts
from provisioning.doctor import examine
from provisioning.errors import CredentialsMissing
from provisioning.findings import Level
from tests.provisioning.declared import DeclaredEc2, NoPages, declare_aws

if TYPE_CHECKING:
    from collections.abc import Sequence

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
