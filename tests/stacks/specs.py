"""The deployments that the tests of this room look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stacks.settings import parse_deployment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stacks.spec import DeploymentSpec


def described(*accelerators: str, **keys: object) -> DeploymentSpec:
    targets = [{"accelerator": name} for name in accelerators]
    return parse_deployment({"region": "us-west-2", "targets": targets, **keys})


EXISTING = {"vpc_id": "vpc-0a1b2c3d", "subnet_ids": ["subnet-0b2c3d4e"]}
SPECS: Mapping[str, DeploymentSpec] = {
    "cpu": described("c7i.xlarge"),
    "inferentia": described("inf2.xlarge"),
    "elastic-inference": described("eia2.medium"),
    "three": described("c7i.xlarge", "inf2.xlarge", "eia2.medium", name="resnet-bench", ttl="90m"),
    "existing-vpc": described("c7i.xlarge", network=EXISTING),
}
