"""The endpoint closure: what hosts without a way to the internet must reach, and through which doors.

Pure, so that pricing counts the same endpoints that the templates create.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stacks.spec import DeploymentSpec

REGIONS_FILE = Path(__file__).with_name("regions.toml")
ZONES = 2  # of a new VPC; Elastic Inference refused to work in fewer

S3 = "s3"  # the service of the gateway
ELASTIC_INFERENCE_SERVICE = "elastic-inference.runtime"


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A service that hosts reach through an interface endpoint, and what for."""

    service: str  # without `com.amazonaws.<region>.`
    reason: str
    billed: bool = True


# Agents from 3.3.40.0 on need no `ec2messages`, which new regions do not even have:
# https://docs.aws.amazon.com/systems-manager/latest/userguide/systems-manager-setting-up-messageAPIs.html
AGENT_NEEDS = (
    Need(service="ssm", reason="hosts register with Systems Manager"),
    Need(service="ssmmessages", reason="hosts receive commands"),
)
# No `kms` or `sts`: S3 and EBS call KMS themselves, and a host's role comes from its metadata service.
# No `logs` or `monitoring`: EC2 measures hosts from outside, and their output goes to S3.
ELASTIC_INFERENCE_NEEDS = (
    Need(service="ec2messages", reason="the agent on images of the Elastic Inference era knows no other way"),
    # Billed with the accelerator (EC2 user guide of 2018, elastic-inference.md,
    # https://github.com/awsdocs/amazon-ec2-user-guide at 0a53b35).
    Need(service=ELASTIC_INFERENCE_SERVICE, reason="hosts reach their accelerators", billed=False),
)


def needs(spec: DeploymentSpec) -> tuple[Need, ...]:
    """Return every service that the hosts of a deployment reach through an interface endpoint.

    What SageMaker runs reads from S3 through the gateway and is asked through SageMaker's own API.
    """
    if not spec.hosts:
        return ()
    if any(host.elastic_inference for host in spec.hosts):
        return (*AGENT_NEEDS, *ELASTIC_INFERENCE_NEEDS)
    return AGENT_NEEDS


def created_needs(spec: DeploymentSpec) -> tuple[Need, ...]:
    """Return the needs that the templates bring an endpoint for: the network has none yet."""
    return tuple(need for need in needs(spec) if spec.network.endpoint(need.service) is None)


def interface_services(spec: DeploymentSpec) -> tuple[str, ...]:
    """Return the services that the templates bring an interface endpoint for."""
    return tuple(need.service for need in created_needs(spec))


def endpoint_groups(spec: DeploymentSpec) -> tuple[str, ...]:
    """Return the security groups of the endpoints that are there already and that hosts will use."""
    used = (spec.network.endpoint(need.service) for need in needs(spec))
    groups = {endpoint.security_group_id for endpoint in used if endpoint is not None}
    return tuple(sorted(group for group in groups if group is not None))


def creates_s3_gateway(spec: DeploymentSpec) -> bool:
    """Return whether the templates bring a gateway to S3.

    A gateway is a route, so in an existing VPC it needs that VPC's route tables. Without them the
    hosts depend on the way to S3 the VPC already has, which preflight checks.
    """
    if spec.network.vpc_id is None:
        return True
    return bool(spec.network.route_table_ids) and spec.network.endpoint(S3) is None


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
