"""What a deployment is: everything synthesis needs, and nothing it would have to look up.

Synthesis is a function of a `DeploymentSpec` alone. What only the account knows (zones that offer a
type, the S3 prefix list, the run's id and expiry) enters the templates as CloudFormation parameters, so
the command line and the CDK produce the same bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from artifacts.errors import BadRequest

NAME_PATTERN = re.compile(r"[a-z](?:[a-z0-9-]{0,29}[a-z0-9])?")
REGION_PATTERN = re.compile(r"[a-z]{2,3}(?:-[a-z]+){1,2}-[0-9]")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """An existing VPC and its subnets; all empty means a new private VPC.

    The first two subnets are the `first` and the `second` zone that hosts may be placed in.
    """

    vpc_id: str | None = None
    subnet_ids: tuple[str, ...] = ()
    route_table_ids: tuple[str, ...] = ()  # of those subnets; known, the S3 gateway can be created

    def __post_init__(self) -> None:
        if self.vpc_id is None and (self.subnet_ids or self.route_table_ids):
            raise BadRequest("Subnets are named without their VPC.", "Name the VPC as well: --vpc-id.")
        if self.vpc_id is not None and not self.subnet_ids:
            raise BadRequest(f"VPC {self.vpc_id} is named without subnets.", "Name one or two: --subnet-id.")
        for prefix, identifier in self._identifiers():
            if not re.fullmatch(rf"{prefix}-(?:[0-9a-f]{{8}}|[0-9a-f]{{17}})", identifier):
                raise BadRequest(
                    f"{identifier!r} is not an id of the form {prefix}-0123456789abcdef0.",
                    "Copy it from the console, or from `aws ec2 describe-subnets`.",
                )

    def _identifiers(self) -> tuple[tuple[str, str], ...]:
        return (
            *(("vpc", identifier) for identifier in (self.vpc_id,) if identifier is not None),
            *(("subnet", identifier) for identifier in self.subnet_ids),
            *(("rtb", identifier) for identifier in self.route_table_ids),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSpec:
    """The hosts of one accelerator."""

    accelerator: str  # the catalogue's name: "inf2.xlarge", "eia2.medium"
    instance_type: str  # the EC2 type: the accelerator itself, or the host an EI accelerator hangs on
    image_parameter: str  # the public SSM parameter that holds the AMI id
    interpreter: str  # the Python on that AMI which has the accelerator's PyTorch
    elastic_inference: str | None = None  # the EI type to attach, e.g. "eia2.medium"
    count: int = 1
    volume_gib: int = 100

    def __post_init__(self) -> None:
        if self.count < 1:
            raise BadRequest(
                f"{self.count} hosts of {self.accelerator} cannot be made.", "Ask for 1 or more."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentSpec:
    """A named deployment: one network, one bucket, and hosts for each accelerator."""

    name: str
    region: str
    hosts: tuple[HostSpec, ...]
    network: NetworkSpec = NetworkSpec()
    key_name: str | None = None
    ttl_s: int = 8 * 3600  # the on-host timer that powers a forgotten host off, in seconds

    def __post_init__(self) -> None:
        if not NAME_PATTERN.fullmatch(self.name):
            raise BadRequest(
                f"{self.name!r} cannot name a deployment",
                "Use 1 to 31 lower-case letters, digits and hyphens, starting with a letter.",
            )
        if not REGION_PATTERN.fullmatch(self.region):
            raise BadRequest(f"{self.region!r} is not a region.", "Name one like us-west-2.")
        if not self.hosts:
            raise BadRequest("A deployment needs at least one accelerator.", "Pass --accelerator.")
        names = [host.accelerator for host in self.hosts]
        for name in names:
            if names.count(name) > 1:
                raise BadRequest(
                    f"Accelerator {name} is asked for twice.", "Name it once and raise --count instead."
                )

    def host_stack(self, host: HostSpec) -> str:
        """Return the name of the stack that holds these hosts (the only stack when there is one)."""
        if len(self.hosts) == 1:
            return self.name
        return f"{self.name}-{host.accelerator.replace('.', '-')}"
