"""The endpoint closure: what hosts without a way to the internet must reach, and through which doors.

Pure, so that pricing counts the same endpoints that the templates create.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stacks.spec import DeploymentSpec

REGIONS_FILE = Path(__file__).with_name("regions.toml")
ZONES = 2  # of a new VPC; Elastic Inference refused to work in fewer

# Agents from 3.3.40.0 on need no `ec2messages`, which new regions do not even have:
# https://docs.aws.amazon.com/systems-manager/latest/userguide/systems-manager-setting-up-messageAPIs.html
HOST_SERVICES = ("ssm", "ssmmessages")
ELASTIC_INFERENCE_SERVICE = "elastic-inference.runtime"


def interface_services(spec: DeploymentSpec) -> tuple[str, ...]:
    """Return the interface endpoints this deployment needs, named without `com.amazonaws.<region>.`."""
    if any(host.elastic_inference for host in spec.hosts):
        return (*HOST_SERVICES, ELASTIC_INFERENCE_SERVICE)
    return HOST_SERVICES


def creates_s3_gateway(spec: DeploymentSpec) -> bool:
    """Return whether the templates bring a gateway to S3.

    A gateway is a route, so in an existing VPC it needs that VPC's route tables. Without them the
    hosts depend on the way to S3 the VPC already has, which preflight must check.
    """
    return spec.network.vpc_id is None or bool(spec.network.route_table_ids)


def s3_prefix_list(region: str) -> str | None:
    """Return the id of S3's managed prefix list in a region, or None where no source says it."""
    return _s3_prefix_lists().get(region)


def aws_buckets(region: str) -> tuple[str, ...]:
    """Return the AWS-owned buckets that dnf, the SSM agent and image layers read from.

    Sources: https://docs.aws.amazon.com/systems-manager/latest/userguide/ssm-agent-technical-details.html
    and https://docs.aws.amazon.com/linux/al2023/ug/repo-access.html (dnf answers 403 without its bucket).
    """
    return (
        f"al2023-repos-{region}-de612dc2",
        f"amazon-ssm-{region}",
        f"amazon-ssm-packages-{region}",
        f"aws-ssm-{region}",
        f"aws-ssm-distributor-file-{region}",
        f"aws-ssm-document-attachments-{region}",
        f"patch-baseline-snapshot-{region}",
        f"{region}-birdwatcher-prod",
    )


@cache
def _s3_prefix_lists() -> Mapping[str, str]:
    with REGIONS_FILE.open("rb") as stream:
        document: dict[str, dict[str, str]] = tomllib.load(stream)
    return document["s3_prefix_lists"]
