"""What is decided about an existing network, from values alone."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from provisioning.aws.ec2 import ImageRecord, SubnetRecord, VpcRecord
from provisioning.aws.ec2_network import RouteTable, VpcEndpoint
from provisioning.network import ObservedNetwork, adopt, judge_network, plan_repairs
from provisioning.preflight import Observed, judge, place
from provisioning.repairs import RepairEndpoint, RepairVpc
from stacks.closure import interface_services
from tests.stacks.specs import EXISTING, described

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stacks.spec import DeploymentSpec

VPC = "vpc-0a1b2c3d"
HERE, THERE = "subnet-0b2c3d4e", "subnet-0c3d4e5f"
OWN = "amazonei:repair:amazonei"
OTHER = "amazonei:repair:other"


def vpc(*, support: bool = True, hostnames: bool = True, tags: Mapping[str, str] | None = None) -> VpcRecord:
    return VpcRecord(
        vpc_id=VPC, cidr="10.0.0.0/16", dns_support=support, dns_hostnames=hostnames, tags=tags or {}
    )


def subnet(name: str, zone: str, of: str = VPC) -> SubnetRecord:
    return SubnetRecord(subnet_id=name, vpc_id=of, zone=zone, cidr="10.0.0.0/24", free_addresses=200)


def endpoint(service: str = "ssm", **changes: object) -> VpcEndpoint:
    usual = VpcEndpoint(
        endpoint_id=f"vpce-{service}",
        service=service,
        kind="Interface",
        state="available",
        subnet_ids=(THERE,),
        group_ids=("sg-0a1b2c3d",),
        route_table_ids=(),
        private_dns=True,
        tags={},
    )
    return dataclasses.replace(usual, **changes)  # type: ignore[arg-type]


def gateway(*tables: str, **tags: str) -> VpcEndpoint:
    return endpoint("s3", kind="Gateway", group_ids=(), subnet_ids=(), route_table_ids=tables, tags=tags)


def network(*endpoints: VpcEndpoint, of: VpcRecord | None = None) -> ObservedNetwork:
    return ObservedNetwork(
        vpc=of or vpc(),
        subnets=(subnet(HERE, "us-west-2a"),),
        endpoints=endpoints,
        endpoint_subnets=(subnet(THERE, "us-west-2b"), subnet(HERE, "us-west-2a")),
        route_tables=(
            RouteTable(table_id="rtb-main", subnet_ids=(), is_main=True),
            RouteTable(table_id="rtb-there", subnet_ids=(THERE,), is_main=False),
        ),
    )


@pytest.fixture
def spec() -> DeploymentSpec:
    return described("c7i.xlarge", network=EXISTING)


def codes(spec: DeploymentSpec, seen: ObservedNetwork) -> set[str]:
    return {finding.code for finding in judge_network(adopt(spec, seen), seen)}


def test_an_endpoint_that_is_there_is_adopted_with_its_group(spec: DeploymentSpec) -> None:
    settled = adopt(spec, network(endpoint("ssm"), gateway("rtb-main")))
    assert interface_services(settled) == ("ssmmessages",)
    assert [(each.service, each.security_group_id) for each in settled.network.endpoints] == [
        ("ssm", "sg-0a1b2c3d"),
        ("s3", None),
    ]


@pytest.mark.parametrize(
    "unusable",
    [
        endpoint(state="deleted"),
        endpoint(tags={"amazonei:deployment": "amazonei"}),
        endpoint(tags={"amazonei:deployment": "other"}),
        endpoint(kind="Gateway"),
        endpoint("logs"),
    ],
)
def test_what_is_gone_or_somebodys_or_not_needed_is_not_adopted(
    spec: DeploymentSpec, unusable: VpcEndpoint
) -> None:
    assert adopt(spec, network(unusable)) == spec


def test_of_two_endpoints_the_one_that_holds_the_name_is_used(spec: DeploymentSpec) -> None:
    nameless = endpoint(endpoint_id="vpce-0", private_dns=False, group_ids=("sg-00000000",))
    settled = adopt(spec, network(nameless, endpoint()))
    assert settled.network.endpoints[0].security_group_id == "sg-0a1b2c3d"


def test_a_gateway_counts_when_every_subnet_routes_to_it(spec: DeploymentSpec) -> None:
    assert "no-way-to-s3" not in codes(spec, network(gateway("rtb-main")))
    assert "no-way-to-s3" in codes(spec, network(gateway("rtb-there")))
    both = described("c7i.xlarge", network=EXISTING | {"subnet_ids": [HERE, THERE]})
    assert "no-way-to-s3" in codes(both, network(gateway("rtb-main")))
    assert "no-way-to-s3" not in codes(both, network(gateway("rtb-main", "rtb-there")))


def test_a_subnet_that_is_missing_or_elsewhere_is_told(spec: DeploymentSpec) -> None:
    seen = network(gateway("rtb-main"))
    assert "subnet-not-found" in codes(spec, dataclasses.replace(seen, subnets=()))
    foreign = (subnet(HERE, "us-west-2a", of="vpc-ffffffff"),)
    assert "subnet-elsewhere" in codes(spec, dataclasses.replace(seen, subnets=foreign))
    assert codes(spec, ObservedNetwork()) == {"vpc-not-found"}


def test_nothing_is_mended_where_nothing_is_wrong(spec: DeploymentSpec) -> None:
    assert plan_repairs(spec, network(endpoint(subnet_ids=(HERE,)))) == ()


def test_only_what_is_off_is_switched_on(spec: DeploymentSpec) -> None:
    (step,) = plan_repairs(spec, network(of=vpc(hostnames=False)))
    assert step == RepairVpc(deployment="amazonei", vpc_id=VPC, changes=("dns-hostnames",))


def test_an_endpoint_gets_a_subnet_only_in_a_zone_it_is_not_in(spec: DeploymentSpec) -> None:
    (step,) = plan_repairs(spec, network(endpoint()))
    assert step == RepairEndpoint(
        deployment="amazonei", endpoint_id="vpce-ssm", service="ssm", changes=(HERE,)
    )
    beside = ObservedNetwork(
        vpc=vpc(),
        subnets=(subnet(HERE, "us-west-2b"),),
        endpoints=(endpoint(),),
        endpoint_subnets=(subnet(THERE, "us-west-2b"),),
    )
    assert plan_repairs(spec, beside) == ()


def test_a_further_repair_keeps_what_was_recorded_before(spec: DeploymentSpec) -> None:
    (step,) = plan_repairs(spec, network(endpoint(private_dns=False, tags={OWN: THERE})))
    assert step.changes == (THERE, HERE, "private-dns")


def test_what_another_deployment_mended_is_relied_on_once(spec: DeploymentSpec) -> None:
    (step,) = plan_repairs(spec, network(of=vpc(tags={OTHER: "dns-support dns-hostnames"})))
    assert step.changes == ("dns-support", "dns-hostnames")
    held = {OTHER: "dns-support", OWN: "dns-support"}
    assert plan_repairs(spec, network(of=vpc(tags=held))) == ()


def observed(seen: ObservedNetwork, *zones: str, architecture: str = "x86_64") -> Observed:
    image = ImageRecord(
        image_id="ami-1", name="", architecture=architecture, state="available", root_device="/dev/xvda"
    )
    return Observed(
        account="1",
        offerings={"c7i.xlarge": zones},
        images={described("c7i.xlarge").hosts[0].image_parameter: image},
        s3_prefix_list="pl-1",
        network=seen,
    )


def blocking(spec: DeploymentSpec, seen: Observed) -> set[str]:
    return {finding.code for finding in judge(spec, seen) if finding.blocks}


def test_a_type_that_no_subnets_zone_offers_is_told_with_the_zones_that_do(spec: DeploymentSpec) -> None:
    seen = network(gateway("rtb-main"))
    settled = adopt(spec, seen)
    assert blocking(settled, observed(seen, "us-west-2a")) == set()
    assert blocking(settled, observed(seen, "us-west-2c")) == {"zone-without-type"}
    (finding,) = [each for each in judge(settled, observed(seen, "us-west-2c")) if each.blocks]
    assert "us-west-2c" in finding.remedy


def test_an_image_of_another_architecture_is_refused() -> None:
    new = described("c7i.xlarge")
    wrong = observed(ObservedNetwork(), "us-west-2a", "us-west-2b", architecture="arm64")
    assert blocking(new, wrong) == {"image-of-another-architecture"}


def test_a_key_pair_that_is_not_there_is_told_before_anything_is_made() -> None:
    keyed = described("c7i.xlarge", key_name="mine")
    seen = observed(ObservedNetwork(), "us-west-2a", "us-west-2b")
    assert blocking(keyed, seen) == set()
    assert blocking(keyed, dataclasses.replace(seen, has_key=False)) == {"key-not-found"}


@pytest.mark.parametrize(
    ("zones", "count", "choice"),
    [
        (("us-west-2a", "us-west-2b"), 1, "first"),
        (("us-west-2a", "us-west-2b"), 2, "both"),
        (("us-west-2b",), 2, "second"),
    ],
)
def test_a_group_is_put_into_every_zone_that_offers_its_type(
    zones: tuple[str, ...], count: int, choice: str
) -> None:
    spec = described(
        network=EXISTING | {"subnet_ids": [HERE, THERE]},
        targets=[{"accelerator": "c7i.xlarge", "count": count}],
    )
    seen = network()
    both = dataclasses.replace(seen, subnets=(subnet(HERE, "us-west-2a"), subnet(THERE, "us-west-2b")))
    assert place(spec, observed(both, *zones)).host_zones == {"c7i.xlarge": choice}
