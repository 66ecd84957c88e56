"""EC2: how many virtual processors types have, and which instances of the account run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioning.aws.tags import as_mapping
from provisioning.aws.translation import translated

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mypy_boto3_ec2 import EC2Client

_TYPES_OF_A_CALL = (
    100  # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceTypes.html
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningRecord:
    """An instance of the account that counts against its quotas."""

    instance_type: str
    is_spot: bool
    tags: Mapping[str, str]


class Ec2Capacity:
    """The EC2 calls that say what of the account's quotas is used."""

    def __init__(self, client: EC2Client) -> None:
        self._client = client

    @translated("ec2:DescribeInstanceTypes")
    def vcpus(self, instance_types: Iterable[str]) -> Mapping[str, int]:
        """Return the default number of vCPUs of each type that the region knows."""
        wanted, found = sorted(set(instance_types)), {}
        for start in range(0, len(wanted), _TYPES_OF_A_CALL):
            # A filter, because asking by name makes an unknown type an error.
            names = [{"Name": "instance-type", "Values": wanted[start : start + _TYPES_OF_A_CALL]}]
            for page in self._client.get_paginator("describe_instance_types").paginate(Filters=names):  # type: ignore[arg-type]
                for kind in page["InstanceTypes"]:
                    found[str(kind["InstanceType"])] = kind["VCpuInfo"]["DefaultVCpus"]
        return found

    @translated("ec2:DescribeInstances")
    def running(self) -> tuple[RunningRecord, ...]:
        """Return every instance that runs or is about to, whoever made it."""
        pages = self._client.get_paginator("describe_instances").paginate(
            Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}]
        )
        return tuple(
            RunningRecord(
                instance_type=instance["InstanceType"],
                is_spot=instance.get("InstanceLifecycle") == "spot",
                tags=as_mapping(instance.get("Tags", [])),
            )
            for page in pages
            for reservation in page["Reservations"]
            for instance in reservation.get("Instances", [])
        )
