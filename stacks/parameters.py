"""What a template asks to be told, because only the account or the moment knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import CfnCondition, CfnParameter, Fn, Stack

from stacks.closure import s3_prefix_list
from stacks.host import root_device

if TYPE_CHECKING:
    from stacks.network import Network
    from stacks.spec import HostSpec


def run_tags(stack: Stack) -> tuple[str, str]:
    """Declare RunId and ExpiresAt, the values of the tags that change from run to run."""
    run = CfnParameter(
        stack, "RunId", default="cdk", description="The run that made this stack; the tag amazonei:run"
    )
    expiry = CfnParameter(
        stack, "ExpiresAt", default="never", description="UTC time in ISO 8601; the tag amazonei:expires-at"
    )
    return run.value_as_string, expiry.value_as_string


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
    zone = CfnParameter(
        stack,
        "HostZone",
        default="first",
        allowed_values=["first", "second"],
        description="The zone the hosts are placed in",
    )
    second = CfnCondition(
        stack, "HostsInSecondZone", expression=Fn.condition_equals(zone.value_as_string, "second")
    )
    choice = Fn.condition_if(second.logical_id, network.second_subnet, network.first_subnet)
    return choice.to_string()


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
