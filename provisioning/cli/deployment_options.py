"""The options that say what a deployment is; each one overrides a key of the configuration file."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

MOST_HOSTS = 100

_OPTIONS = (
    click.option(
        "--accelerator",
        "accelerators",
        multiple=True,
        metavar="TYPE",
        help="Accelerator to provision; repeat for several.  [default: inf1.xlarge, or the configuration's]",
    ),
    click.option(
        "--instance-type", help="Host an Elastic Inference accelerator hangs on.  [default: m5.xlarge]"
    ),
    click.option(
        "--count", type=click.IntRange(1, MOST_HOSTS), help="Hosts of each accelerator.  [default: 1]"
    ),
    click.option("--spot", is_flag=True, help="Spot hosts: cheaper, and AWS may take them back."),
    click.option("--capacity-reservation", metavar="ID", help="Launch into this capacity reservation."),
    click.option(
        "--certificate",
        metavar="ARN",
        help="Put an internal load balancer with this ACM certificate before the hosts; --count 2 or more.",
    ),
    click.option(
        "--clients",
        metavar="CIDR",
        help="Who may connect to the balancer.  [default: the new VPC]",
    ),
    click.option(
        "--max-count", type=click.IntRange(2, MOST_HOSTS), help="Hosts a balanced group may grow to."
    ),
    click.option(
        "--requests-per-minute",
        type=click.IntRange(min=1),
        help="With --max-count: requests of one host at which another one is added.",
    ),
    click.option("--vpc-id", help="Use this VPC instead of making a private one."),
    click.option("--subnet-id", "subnet_ids", multiple=True, help="Subnet of --vpc-id; repeat for several."),
    click.option(
        "--route-table-id",
        "route_table_ids",
        multiple=True,
        help="Make the gateway to S3 in this route table of --vpc-id; repeat for several.",
    ),
    click.option("--key-name", help="EC2 key pair for the hosts (Systems Manager needs none)."),
    click.option("--ssh-cidr", metavar="CIDR", help="With --key-name: who may open SSH.  [default: nobody]"),
    click.option("--kms-key", metavar="ARN", help="Encrypt the bucket with this key of yours."),
    click.option("--permissions-boundary", metavar="ARN", help="Policy that bounds every role made."),
    click.option("--role-path", metavar="PATH", help="IAM path that roles are made under.  [default: /]"),
    click.option("--ttl", help="Hosts power off and end after this long: 8h, 90m, 2d.  [default: 8h]"),
)


def deployment_options(body: Callable[P, R]) -> Callable[P, R]:
    """Add the options to a command; they arrive as the `wanted` of `deployment_spec`."""
    for option in reversed(_OPTIONS):
        body = option(body)
    return body
