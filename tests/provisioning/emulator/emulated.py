"""Clients of a running emulator, and what tests do with its hosts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from provisioning.emulator.state import Running

T = TypeVar("T")
REGION = "us-west-2"
LINUX = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
USER_DATA = '#!/bin/sh\n# amazonei host\nmkdir -p "$AMAZONEI_HOME"\necho the host has booted\n'


@dataclass(frozen=True)
class Emulated:
    """The clients of one region, and what a test does with hosts."""

    ec2: Any
    ssm: Any
    s3: Any
    cloudformation: Any
    sagemaker: Any
    runtime: Any
    logs: Any

    def image(self, name: str = LINUX) -> str:
        return str(self.ssm.get_parameter(Name=name)["Parameter"]["Value"])

    def launch(
        self, user_data: str = USER_DATA, *, tags: Mapping[str, str] | None = None, **options: Any
    ) -> str:
        wanted = {"ImageId": self.image(), "InstanceType": "c7i.xlarge", "UserData": user_data} | options
        specification = [{"Key": key, "Value": value} for key, value in (tags or {}).items()]
        if specification:
            wanted["TagSpecifications"] = [{"ResourceType": "instance", "Tags": specification}]
        reservation = self.ec2.run_instances(MinCount=1, MaxCount=1, **wanted)
        return str(reservation["Instances"][0]["InstanceId"])

    def ping(self, instance_id: str) -> str:
        filters = [{"Key": "InstanceIds", "Values": [instance_id]}]
        nodes = self.ssm.describe_instance_information(Filters=filters)["InstanceInformationList"]
        return str(nodes[0]["PingStatus"]) if nodes else ""

    def await_online(self, instance_id: str) -> str:
        eventually(lambda: self.ping(instance_id) == "Online")
        return instance_id

    def send(self, instance_id: str, *commands: str, timeout_s: int = 60, **options: Any) -> str:
        parameters = {"commands": list(commands), "executionTimeout": [str(timeout_s)]}
        wanted = {"DocumentName": "AWS-RunShellScript", "Parameters": parameters} | options
        return str(self.ssm.send_command(InstanceIds=[instance_id], **wanted)["Command"]["CommandId"])

    def answer(self, command_id: str, instance_id: str) -> dict[str, Any]:
        """Return the invocation once it is final."""

        def final() -> dict[str, Any] | None:
            found: dict[str, Any] = self.ssm.get_command_invocation(
                CommandId=command_id, InstanceId=instance_id
            )
            return None if found["Status"] in {"Pending", "InProgress", "Cancelling"} else found

        return eventually(final)

    def run(self, instance_id: str, *commands: str, **options: Any) -> dict[str, Any]:
        return self.answer(self.send(instance_id, *commands, **options), instance_id)


def eventually(condition: Callable[[], T | None], *, within_s: float = 20.0) -> T:
    """Return the condition's first true value; fails when there is none in time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    pytest.fail(f"not within {within_s} s")


def connect(running: Running, region: str = REGION) -> Emulated:
    session = boto3.Session(running.access_key, running.secret_key, region_name=region)
    made: Any = session.client
    names = ("ec2", "ssm", "s3", "cloudformation", "sagemaker", "sagemaker-runtime", "logs")
    return Emulated(*(made(name, endpoint_url=running.endpoint_url) for name in names))
