"""What a deployment is: everything synthesis needs, and nothing it would have to look up.

Synthesis is a function of a `DeploymentSpec` alone. What only the account knows (zones that offer a
type, the S3 prefix list, the run's id and expiry) enters the templates as CloudFormation parameters, so
the command line and the CDK produce the same bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING

from artifacts.errors import BadRequest

if TYPE_CHECKING:
    from stacks.balancing import BalancerSpec
    from stacks.hosting import EndpointSpec, NotebookSpec

NAME_PATTERN = re.compile(r"[a-z](?:[a-z0-9-]{0,29}[a-z0-9])?")
REGION_PATTERN = re.compile(r"[a-z]{2,3}(?:-[a-z]+){1,2}-[0-9]")
ROLE_PATH_PATTERN = re.compile(r"/(?:[\w+=,.@-]+/)*", re.ASCII)
BOUNDARY_PATTERN = re.compile(r"arn:[\w-]+:iam::(?:\d{12}|aws):policy/[\w+=,.@/-]+", re.ASCII)
KEY_PATTERN = re.compile(r"arn:[\w-]+:kms:[\w-]+:\d{12}:key/[0-9a-f-]+", re.ASCII)
RESERVATION_PATTERN = re.compile(r"cr-[0-9a-f]{17}")
EMAIL_PATTERN = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s.]+")
WIDEST_SSH_PREFIX = 8  # 10.0.0.0/8 is somebody's whole company; anything wider is the world


def check_name(name: str) -> None:
    """Raise BadRequest when no deployment can have this name."""
    if not NAME_PATTERN.fullmatch(name):
        raise BadRequest(
            f"{name!r} cannot name a deployment",
            "Use 1 to 31 lower-case letters, digits and hyphens, starting with a letter.",
        )


def check_region(region: str) -> None:
    """Raise BadRequest when no region of AWS has such a name."""
    if not REGION_PATTERN.fullmatch(region):
        raise BadRequest(f"{region!r} is not a region.", "Name one like us-west-2.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingEndpoint:
    """An endpoint that an existing VPC has already, so that the templates bring none for its service."""

    service: str  # without `com.amazonaws.<region>.`; "s3" is the gateway
    security_group_id: str | None = None  # of an interface endpoint: hosts are let in there

    def __post_init__(self) -> None:
        if self.security_group_id is not None:
            require_identifier("sg", self.security_group_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """An existing VPC and its subnets; all empty means a new private VPC.

    The first two subnets are the `first` and the `second` zone that hosts may be placed in.
    """

    vpc_id: str | None = None
    subnet_ids: tuple[str, ...] = ()
    route_table_ids: tuple[str, ...] = ()  # of those subnets; known, the S3 gateway can be created
    endpoints: tuple[ExistingEndpoint, ...] = ()  # preflight finds them; `cdk deploy` has to be told

    def __post_init__(self) -> None:
        if self.vpc_id is None and (self.subnet_ids or self.route_table_ids or self.endpoints):
            raise BadRequest("Subnets are named without their VPC.", "Name the VPC as well: --vpc-id.")
        if self.vpc_id is not None and not self.subnet_ids:
            raise BadRequest(f"VPC {self.vpc_id} is named without subnets.", "Name one or two: --subnet-id.")
        for prefix, identifier in self._identifiers():
            require_identifier(prefix, identifier)

    def endpoint(self, service: str) -> ExistingEndpoint | None:
        """Return the endpoint that is there for a service already."""
        return next((endpoint for endpoint in self.endpoints if endpoint.service == service), None)

    def _identifiers(self) -> tuple[tuple[str, str], ...]:
        return (
            *(("vpc", identifier) for identifier in (self.vpc_id,) if identifier is not None),
            *(("subnet", identifier) for identifier in self.subnet_ids),
            *(("rtb", identifier) for identifier in self.route_table_ids),
        )


def require_identifier(prefix: str, identifier: str) -> None:
    """Raise BadRequest when this is no id of an EC2 resource."""
    if not re.fullmatch(rf"{prefix}-(?:[0-9a-f]{{8}}|[0-9a-f]{{17}})", identifier):
        raise BadRequest(
            f"{identifier!r} is not an id of the form {prefix}-0123456789abcdef0.",
            "Copy it from the console, or from the AWS command line.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySpec:
    """How the roles of a deployment fit into the account's own rules."""

    permissions_boundary: str | None = None  # the ARN of the managed policy that bounds every role
    role_path: str = "/"  # roles live under <role_path>amazonei/<deployment>/

    def __post_init__(self) -> None:
        boundary = self.permissions_boundary
        if boundary is not None and not BOUNDARY_PATTERN.fullmatch(boundary):
            raise BadRequest(
                f"{boundary!r} is not the ARN of a managed policy.",
                "Write it like arn:aws:iam::123456789012:policy/boundary.",
            )
        if not ROLE_PATH_PATTERN.fullmatch(self.role_path):
            raise BadRequest(f"{self.role_path!r} is not an IAM path.", "Write it like /teams/research/.")


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
    spot: bool = False  # AWS may take a spot host back with two minutes' notice
    capacity_reservation: str | None = None  # "cr-...": capacity that was paid for already
    balancer: BalancerSpec | None = None  # what clients reach all of them through

    def __post_init__(self) -> None:
        if self.count < 1:
            raise BadRequest(
                f"{self.count} hosts of {self.accelerator} cannot be made.", "Ask for 1 or more."
            )
        reservation = self.capacity_reservation
        if reservation is not None and not RESERVATION_PATTERN.fullmatch(reservation):
            raise BadRequest(
                f"{reservation!r} is not an id of the form cr-0123456789abcdef0.", "Copy it from the console."
            )
        if self.elastic_inference is not None and (self.spot or reservation is not None):
            raise BadRequest(
                f"Hosts with {self.elastic_inference} are on-demand hosts only.",
                "Leave spot and the capacity reservation out.",
            )
        if reservation is not None and self.spot:
            raise BadRequest(
                f"{self.accelerator} cannot be both a spot host and in a capacity reservation.",
                "Leave one of the two out.",
            )
        if self.balancer is not None:
            self._check_balancer(self.balancer)

    def _check_balancer(self, balancer: BalancerSpec) -> None:
        if self.elastic_inference is not None:
            raise BadRequest(
                f"Hosts with {self.elastic_inference} are no group, which is what a balancer stands before.",
                "Leave the certificate out.",
            )
        balancer.check_count(self.accelerator, self.count)

    @property
    def is_group(self) -> bool:
        """Whether an Auto Scaling group makes these hosts: several, or what only a launch template asks for.

        A launch template takes no EI accelerator in CloudFormation.
        """
        wants_template = self.count > 1 or self.spot or self.capacity_reservation is not None
        return wants_template and self.elastic_inference is None


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSpec:
    """What a deployment may cost in a month, and who is told when it costs more."""

    max_usd: float
    email: str

    def __post_init__(self) -> None:
        if self.max_usd <= 0 or not EMAIL_PATTERN.fullmatch(self.email):
            raise BadRequest(
                f"A budget of ${self.max_usd:g} cannot be watched over by {self.email!r}.",
                'Write max_usd = 5 and email = "somebody@example.org" in [budget].',
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentSpec:
    """A named deployment: one network, one bucket, hosts for each accelerator, and what SageMaker runs."""

    name: str
    region: str
    hosts: tuple[HostSpec, ...]
    network: NetworkSpec = NetworkSpec()
    identity: IdentitySpec = IdentitySpec()
    key_name: str | None = None
    ssh_cidr: str | None = None  # who may open SSH to the hosts; nobody when None
    kms_key: str | None = None  # the ARN of a key of the account's own that encrypts the bucket
    ttl_s: int = 8 * 3600  # the on-host timer that powers a forgotten host off, in seconds
    endpoints: tuple[EndpointSpec, ...] = ()
    notebooks: tuple[NotebookSpec, ...] = ()
    guard: bool = False  # whether a stack of schedules deletes the others when they expire
    budget: BudgetSpec | None = None  # watched by the guard

    def __post_init__(self) -> None:
        check_name(self.name)
        check_region(self.region)
        if not (self.hosts or self.endpoints or self.notebooks):
            raise BadRequest("A deployment needs at least one accelerator.", "Pass --accelerator.")
        self._check_access()
        names = [host.accelerator for host in self.hosts]
        for name in names:
            if names.count(name) > 1:
                raise BadRequest(
                    f"Accelerator {name} is asked for twice.", "Name it once and raise --count instead."
                )
        for host in self.hosts:
            if host.balancer is not None:
                self._check_balancer(host.balancer)
        stacks = self.stack_names
        if len(set(stacks)) < len(stacks):
            raise BadRequest(
                "Two endpoints or two notebooks would have the same stack.", "Name each of them once."
            )

    def _check_access(self) -> None:
        if self.ssh_cidr is not None:
            _check_ssh(self.ssh_cidr, self.key_name)
        if self.kms_key is not None and not KEY_PATTERN.fullmatch(self.kms_key):
            raise BadRequest(
                f"{self.kms_key!r} is not the ARN of a KMS key.",
                "Write it like arn:aws:kms:us-west-2:123456789012:key/0a1b2c3d-...",
            )

    def _check_balancer(self, balancer: BalancerSpec) -> None:
        if balancer.region != self.region:
            raise BadRequest(
                f"The certificate is of {balancer.region}, the balancer of {self.region}.",
                f"Name a certificate that ACM has in {self.region}.",
            )
        if self.network.vpc_id is None:
            return
        if len(set(self.network.subnet_ids)) < 2:
            raise BadRequest(
                "A load balancer stands in two zones, and one subnet is in one.",
                "Name a subnet in another zone as well: --subnet-id.",
            )
        if balancer.clients is None:
            raise BadRequest(
                f"Who may connect to a balancer in {self.network.vpc_id} is not said.",
                'Write clients = "10.1.0.0/16" in [[targets]]: the addresses of that VPC, or fewer.',
            )

    def host_stack(self, host: HostSpec) -> str:
        """Return the name of the stack that holds these hosts (the only stack when there is one)."""
        if len(self.hosts) == 1:
            return self.name
        return f"{self.name}-{host.accelerator.replace('.', '-')}"

    @property
    def certificates(self) -> tuple[str, ...]:
        """The ARNs of the certificates that load balancers answer with, each once."""
        return tuple(dict.fromkeys(host.balancer.certificate for host in self.hosts if host.balancer))

    @property
    def guard_stack(self) -> str:
        """The name of the stack that deletes the others."""
        return f"{self.name}-guard"

    @property
    def stack_names(self) -> tuple[str, ...]:
        """The names of all stacks but the guard's, the foundation's first."""
        hosts = [self.host_stack(host) for host in self.hosts]
        return (
            self.name,
            *(name for name in hosts if name != self.name),
            *(endpoint.stack(self.name) for endpoint in self.endpoints),
            *(notebook.stack(self.name) for notebook in self.notebooks),
        )


def _check_ssh(cidr: str, key_name: str | None) -> None:
    """Raise BadRequest for addresses that are none, or that are everybody's."""
    try:
        network = ip_network(cidr)
    except ValueError as error:
        raise BadRequest(f"{cidr!r} is not a CIDR block: {error}.", "Write it like 10.1.2.0/24.") from error
    if network.prefixlen < WIDEST_SSH_PREFIX:
        raise BadRequest(f"SSH from {cidr} is SSH from the world.", "Name the addresses you come from.")
    if key_name is None:
        raise BadRequest("SSH is opened, and nobody has a key.", "Pass --key-name as well.")
