"""What a template asks to be told, because only the account or the moment knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws, CfnCondition, CfnParameter, Fn, Stack

from stacks.closure import s3_prefix_list
from stacks.host import root_device

if TYPE_CHECKING:
    from stacks.network import Network
    from stacks.spec import HostSpec

INSTANT = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z"

GUARD_TIMES = {
    "HostsEndAt": "the deletion of the hosts",
    "FoundationEndAt": "the deletion of what they stood on",
    "FoundationRetryAt": "the same again, for hosts that took long to end",
    "SweepAt": "the same again, when the lifecycle has emptied the bucket",
}


def run_id(stack: Stack) -> str:
    """Declare RunId, the value of a tag that changes from run to run."""
    parameter = CfnParameter(
        stack, "RunId", default="cdk", description="The run that made this stack; the tag amazonei:run"
    )
    return parameter.value_as_string


def expiry(stack: Stack, *, is_needed: bool) -> str:
    """Declare ExpiresAt, the value of a tag; a stack whose hosts end by a schedule has to be told."""
    parameter = CfnParameter(
        stack,
        "ExpiresAt",
        default=None if is_needed else "never",
        allowed_pattern=INSTANT if is_needed else None,
        description="UTC time in ISO 8601; the tag amazonei:expires-at",
    )
    return parameter.value_as_string


def model_data(stack: Stack) -> str:
    """Declare ModelDataUrl, the packed model that an endpoint serves; it has no default."""
    parameter = CfnParameter(
        stack,
        "ModelDataUrl",
        allowed_pattern="s3://[a-z0-9.-]+/.+",
        description="The S3 URI of the packed model",
    )
    return parameter.value_as_string


def manifest_digest(stack: Stack) -> str:
    """Declare ManifestDigest, what the container compares the artifact in the package with."""
    parameter = CfnParameter(
        stack,
        "ManifestDigest",
        allowed_pattern="[0-9a-f]{64}",
        description="The SHA-256 of the artifact's manifest, as `amazonei verify` shows it",
    )
    return parameter.value_as_string


def guard_times(stack: Stack) -> dict[str, str]:
    """Declare when the guard deletes what; templates compute no times, so each is said."""
    return {
        name: CfnParameter(
            stack,
            name,
            allowed_pattern=r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}",
            description=f"UTC time, as 2026-11-21T18:00:00: {meaning}",
        ).value_as_string
        for name, meaning in GUARD_TIMES.items()
    }


def zones(stack: Stack) -> tuple[str, str]:
    """Declare FirstZone and SecondZone; empty leaves the choice to the region's list of zones."""
    return _zone(stack, 0, "First"), _zone(stack, 1, "Second")


def prefix_list(stack: Stack, region: str) -> str:
    """Declare S3PrefixListId, with a default where the region's id is known."""
    parameter = CfnParameter(
        stack,
        "S3PrefixListId",
        default=s3_prefix_list(region),
        allowed_pattern="pl-[0-9a-f]+",
        description="The managed prefix list of S3 in this region",
    )
    return parameter.value_as_string


def image(stack: Stack, host: HostSpec) -> str:
    """Declare ImageId, which CloudFormation resolves from a public parameter."""
    parameter = CfnParameter(
        stack,
        "ImageId",
        type="AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>",
        default=host.image_parameter,
        description="The public SSM parameter that holds the image of the hosts",
    )
    return parameter.value_as_string


def root_device_name(stack: Stack, host: HostSpec) -> str:
    """Declare RootDeviceName, the device that the image boots from."""
    parameter = CfnParameter(
        stack,
        "RootDeviceName",
        default=root_device(host.image_parameter),
        allowed_pattern="/dev/[a-z0-9]+",
        description="The root device of the image",
    )
    return parameter.value_as_string


def host_subnet(stack: Stack, network: Network) -> str:
    """Declare HostZone and return the subnet it selects."""
    zone = _host_zone(stack, default="first", allowed=["first", "second"])
    return _choice(stack, zone, network)


def group_subnets(stack: Stack, network: Network) -> tuple[str, ...]:
    """Declare HostZone, which may be both, and return the subnets it selects."""
    if network.first_subnet == network.second_subnet:
        return (network.first_subnet,)
    zone = _host_zone(stack, default="both", allowed=["first", "second", "both"])
    both = CfnCondition(stack, "HostsInBothZones", expression=Fn.condition_equals(zone, "both"))
    other = Fn.condition_if(both.logical_id, network.second_subnet, Aws.NO_VALUE)
    return _choice(stack, zone, network), other.to_string()


def _host_zone(stack: Stack, *, default: str, allowed: list[str]) -> str:
    zone = CfnParameter(
        stack,
        "HostZone",
        default=default,
        allowed_values=allowed,
        description="The zone the hosts are placed in",
    )
    return zone.value_as_string


def _choice(stack: Stack, zone: str, network: Network) -> str:
    second = CfnCondition(stack, "HostsInSecondZone", expression=Fn.condition_equals(zone, "second"))
    return Fn.condition_if(second.logical_id, network.second_subnet, network.first_subnet).to_string()


def _zone(stack: Stack, index: int, ordinal: str) -> str:
    name = f"{ordinal}Zone"
    parameter = CfnParameter(
        stack, name, default="", description=f"The {ordinal.lower()} availability zone; empty: any"
    )
    is_given = CfnCondition(
        stack,
        f"{name}Given",
        expression=Fn.condition_not(Fn.condition_equals(parameter.value_as_string, "")),
    )
    listed = Fn.select(index, Fn.get_azs())
    return Fn.condition_if(is_given.logical_id, parameter.value_as_string, listed).to_string()
