"""moto in this process with every correction installed, and one account to try them in."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from provisioning.emulator import strict
from provisioning.emulator.correction import install_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REGION = "us-west-2"
_NUMBERS = itertools.count(200_000_000_001)


@dataclass(frozen=True)
class Account:
    """The clients of one region, and what a test asks of stacks."""

    cloudformation: Any
    ec2: Any
    iam: Any
    logs: Any
    s3: Any
    ssm: Any

    def create(self, name: str, resources: Mapping[str, Any], **options: Any) -> str:
        sections = {
            key: options.pop(key) for key in ("Parameters", "Outputs", "Conditions") if key in options
        }
        body = json.dumps({"Resources": resources, **sections})
        return str(self.cloudformation.create_stack(StackName=name, TemplateBody=body, **options)["StackId"])

    def update(self, name: str, resources: Mapping[str, Any], **options: Any) -> None:
        body = json.dumps({"Resources": resources})
        self.cloudformation.update_stack(StackName=name, TemplateBody=body, **options)

    def stack(self, name: str) -> dict[str, Any]:
        stacks: list[dict[str, Any]] = self.cloudformation.describe_stacks(StackName=name)["Stacks"]
        return stacks[0]

    def status(self, name: str) -> str:
        return str(self.stack(name)["StackStatus"])

    def events(self, name: str) -> list[tuple[str, str]]:
        """Return what happened to what, oldest first."""
        told = self.cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        return [(event["LogicalResourceId"], event["ResourceStatus"]) for event in reversed(told)]

    def reason(self, name: str, logical_id: str, status: str) -> str:
        told = self.cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        wanted = (logical_id, status)
        found = [each for each in told if (each["LogicalResourceId"], each["ResourceStatus"]) == wanted]
        return str(found[0]["ResourceStatusReason"])

    def physical_id(self, name: str, logical_id: str) -> str:
        detail = self.cloudformation.describe_stack_resource(StackName=name, LogicalResourceId=logical_id)
        return str(detail["StackResourceDetail"]["PhysicalResourceId"])

    def vpc_ids(self) -> set[str]:
        return {vpc["VpcId"] for vpc in self.ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]}

    def bucket_names(self) -> set[str]:
        return {bucket["Name"] for bucket in self.s3.list_buckets()["Buckets"]}


@pytest.fixture(scope="session")
def _corrected_moto() -> None:
    install_all(strict.corrections())


@pytest.fixture(scope="session")
def _clients(_corrected_moto: None) -> dict[str, Any]:
    """Make clients once: reading the models of their services costs more than most tests."""
    make: Any = boto3.Session("testing", "testing", region_name=REGION).client
    return {name: make(name) for name in ("cloudformation", "ec2", "iam", "logs", "s3", "ssm")}


@pytest.fixture(scope="module")
def _moto(_clients: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Start moto once for a module."""
    with pytest.MonkeyPatch.context() as patched, mock_aws():
        # moto's own list of images is long to load, at the end again for every account that is thrown away;
        # those of the catalogue are made by a correction.
        patched.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        yield _clients


@pytest.fixture
def account(_moto: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Account:
    """Return an account of its own for each test, so that nothing has to be cleaned up."""
    monkeypatch.setenv("MOTO_ACCOUNT_ID", f"{next(_NUMBERS):012d}")
    # For the clients that a test makes itself.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    return Account(**_moto)
