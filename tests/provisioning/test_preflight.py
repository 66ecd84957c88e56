from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from artifacts.errors import BadRequest
from artifacts.targets import find
from provisioning.aws.ec2 import ImageRecord
from provisioning.network import ObservedNetwork
from provisioning.preflight import Observed, judge, place
from tests.stacks.specs import BALANCED, described

if TYPE_CHECKING:
    from stacks.spec import DeploymentSpec

A, B, C = "us-west-2a", "us-west-2b", "us-west-2c"


def image(accelerator: str, **changes: Any) -> ImageRecord:
    known = {"image_id": "ami-1", "name": "linux", "state": "available", "root_device": "/dev/xvda"}
    return ImageRecord(**known | {"architecture": find(accelerator).architecture} | changes)


def observed(spec: DeploymentSpec, zones: dict[str, tuple[str, ...]], **changes: Any) -> Observed:
    known: dict[str, Any] = {
        "account": "123456789012",
        "offerings": zones,
        "images": {host.image_parameter: image(host.accelerator) for host in spec.hosts},
        "s3_prefix_list": "pl-1",
        "network": ObservedNetwork(),
    }
    return Observed(**known | changes)


def codes(spec: DeploymentSpec, seen: Observed) -> list[str]:
    return [finding.code for finding in judge(spec, seen)]


CPU = described("c7i.xlarge")
TWO = described("c7i.xlarge", "inf2.xlarge")


def test_an_account_that_offers_everything_has_nothing_against_it() -> None:
    assert codes(CPU, observed(CPU, {"c7i.xlarge": (A, B)})) == []


@pytest.mark.parametrize(
    ("spec", "zones", "changes", "expected"),
    [
        (CPU, {"c7i.xlarge": ()}, {}, ["type-not-offered"]),
        (CPU, {}, {}, ["type-not-offered"]),
        (CPU, {"c7i.xlarge": (A, B)}, {"images": {}}, ["image-not-found"]),
        (
            CPU,
            {"c7i.xlarge": (A, B)},
            {"images": {CPU.hosts[0].image_parameter: image("c7i.xlarge", architecture="arm64")}},
            ["image-of-another-architecture"],
        ),
        (CPU, {"c7i.xlarge": ()}, {"images": {}}, ["type-not-offered", "image-not-found"]),
        (TWO, {"c7i.xlarge": (A, B), "inf2.xlarge": (C,)}, {}, []),
        (TWO, {"c7i.xlarge": (A, B), "inf2.xlarge": ()}, {}, ["type-not-offered"]),
    ],
)
def test_every_reason_against_a_plan_is_found(
    spec: DeploymentSpec, zones: dict[str, tuple[str, ...]], changes: dict[str, Any], expected: list[str]
) -> None:
    assert codes(spec, observed(spec, zones, **changes)) == expected


@pytest.mark.parametrize(("zones", "expected"), [((A, B), []), ((A,), ["balancer-in-one-zone"])])
def test_a_balancer_needs_two_zones_with_the_type(zones: tuple[str, ...], expected: list[str]) -> None:
    spec = described(targets=[BALANCED])
    assert codes(spec, observed(spec, {"c7i.xlarge": zones})) == expected


def test_three_types_in_three_zones_have_no_two_in_common() -> None:
    three = described("c7i.xlarge", "inf2.xlarge", "m5.xlarge")
    seen = observed(three, {"c7i.xlarge": (A,), "inf2.xlarge": (B,), "m5.xlarge": (C,)})
    assert codes(three, seen) == ["no-common-zones"]
    with pytest.raises(BadRequest, match="No two zones"):
        place(three, seen)


def test_what_is_ending_is_a_warning_that_comes_after_the_errors() -> None:
    old = described("inf1.xlarge")
    findings = judge(old, observed(old, {}))
    assert [finding.blocks for finding in findings] == [True, False]
    assert find("inf1.xlarge").lifecycle.url in findings[-1].remedy


@pytest.mark.parametrize(
    ("zones", "first", "second", "where"),
    [
        ({"c7i.xlarge": (A, B), "inf2.xlarge": (A, B)}, A, B, ["first", "first"]),
        ({"c7i.xlarge": (A, B, C), "inf2.xlarge": (C,)}, A, C, ["first", "second"]),
        ({"c7i.xlarge": (B, C), "inf2.xlarge": (B,)}, B, C, ["first", "first"]),
        ({"c7i.xlarge": (A,), "inf2.xlarge": (A,)}, A, A, ["first", "first"]),
    ],
)
def test_hosts_go_where_their_type_is_offered(
    zones: dict[str, tuple[str, ...]], first: str, second: str, where: list[str]
) -> None:
    placement = place(TWO, observed(TWO, zones))
    assert (placement.first_zone, placement.second_zone) == (first, second)
    assert [placement.host_zones[host.accelerator] for host in TWO.hosts] == where


SERVED = described(endpoints=[{"accelerator": "c7i.xlarge"}])


def test_a_deployment_without_hosts_lies_in_zones_that_know_the_type_of_its_endpoint() -> None:
    seen = observed(SERVED, {"c7i.xlarge": (A, C)})
    assert codes(SERVED, seen) == []
    placement = place(SERVED, seen)
    assert (placement.first_zone, placement.second_zone, placement.host_zones) == (A, C, {})


def test_a_type_of_an_endpoint_that_no_zone_knows_is_found_before_anything_is_made() -> None:
    assert codes(SERVED, observed(SERVED, {})) == ["no-common-zones"]
