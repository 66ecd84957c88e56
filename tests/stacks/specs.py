"""The deployments that the tests of this room look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stacks.settings import parse_deployment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stacks.spec import DeploymentSpec


def described(*accelerators: str, **keys: object) -> DeploymentSpec:
    targets = [{"accelerator": name} for name in accelerators]
    return parse_deployment({"region": "us-west-2", "targets": targets} | keys)


EXISTING = {"vpc_id": "vpc-0a1b2c3d", "subnet_ids": ["subnet-0b2c3d4e"]}
REUSED = {
    **EXISTING,
    "endpoints": ["ssm=sg-0a1b2c3d", "ssmmessages=sg-0a1b2c3d", "s3"],
}
IDENTITY = {
    "permissions_boundary": "arn:aws:iam::123456789012:policy/teams/boundary",
    "role_path": "/teams/",
}
KEY = "arn:aws:kms:us-west-2:123456789012:key/0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
CERTIFICATE = "arn:aws:acm:us-west-2:123456789012:certificate/0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
BALANCED = {
    "accelerator": "c7i.xlarge",
    "count": 2,
    "certificate": CERTIFICATE,
    "max_count": 6,
    "requests_per_minute": 3000,
}
SPECS: Mapping[str, DeploymentSpec] = {
    "cpu": described("c7i.xlarge"),
    "inferentia": described("inf2.xlarge"),
    "elastic-inference": described("eia2.medium"),
    "three": described("c7i.xlarge", "inf2.xlarge", "eia2.medium", name="resnet-bench", ttl="90m"),
    "existing-vpc": described("c7i.xlarge", network=EXISTING),
    "reused-endpoints": described("c7i.xlarge", network=REUSED),
    "group": described(targets=[{"accelerator": "c7g.xlarge", "count": 3, "spot": True}]),
    "sagemaker-only": described(endpoints=[{"accelerator": "inf2.xlarge"}]),
    "balanced": described(targets=[BALANCED]),
    "strict-account": described(
        "c7i.xlarge", identity=IDENTITY, kms_key=KEY, key_name="mine", ssh_cidr="10.1.2.0/24"
    ),
}
