from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from provisioning.aws.ec2 import EndpointRecord
from provisioning.pricing import PriceTable
from provisioning.status import Status, observe_status
from tests.provisioning.declared import DeclaredAws, declare_aws
from tests.provisioning.declared_hosts import DeclaredEc2
from tests.provisioning.declared_stacks import START

if TYPE_CHECKING:
    from collections.abc import Mapping

TAGS = {"amazonei:deployment": "demo", "amazonei:accelerator": "c7i.xlarge"}
PRICES = PriceTable.load()
HOUR = timedelta(hours=1)


class Ec2WithEndpoints(DeclaredEc2):
    def __init__(self) -> None:
        super().__init__()
        self.endpoints: tuple[EndpointRecord, ...] = ()

    def vpc_endpoints(self, tags: Mapping[str, str | None]) -> tuple[EndpointRecord, ...]:
        return self.endpoints


@pytest.fixture
def world() -> DeclaredAws:
    declared = declare_aws()
    declared.ec2 = Ec2WithEndpoints()
    declared.aws.ec2 = declared.ec2
    return declared


def look(world: DeclaredAws, after: timedelta = HOUR) -> Status:
    return observe_status(world.aws, "demo", PRICES, START + after)


def stand(world: DeclaredAws, expires: str = "2026-11-21T08:00:00Z") -> None:
    stack = world.cloudformation.declare_stack("demo")
    stack.record = replace(stack.record, tags={**stack.record.tags, "amazonei:expires-at": expires})


def endpoint(kind: str, subnets: int) -> EndpointRecord:
    return EndpointRecord(
        endpoint_id=f"vpce-{kind}",
        service=f"com.amazonaws.us-west-2.{kind.lower()}",
        kind=kind,
        state="available",
        subnet_ids=tuple(f"subnet-{number}" for number in range(subnets)),
    )


def test_where_there_is_nothing_it_costs_nothing(world: DeclaredAws) -> None:
    status = look(world)
    assert status.sentence() == "There is nothing of demo in us-west-2."
    assert (status.items, status.hourly, status.spent) == ((), 0.0, 0.0)


def test_what_runs_is_listed_and_priced_since_the_first_stack(world: DeclaredAws) -> None:
    stand(world)
    world.ec2.declare_host("i-1", TAGS)
    status = look(world, 2 * HOUR)
    assert [(item.kind, item.id, item.state) for item in status.items] == [
        ("stack", "demo", "CREATE_COMPLETE"),
        ("host c7i.xlarge", "i-1", "running"),
    ]
    assert status.hourly is not None
    assert status.hourly > PRICES.hourly("c7i.xlarge", "us-west-2").hourly  # the disk comes on top
    assert status.spent == pytest.approx(2 * status.hourly)


def test_endpoints_are_billed_in_each_subnet_and_gateways_are_free(world: DeclaredAws) -> None:
    assert isinstance(world.ec2, Ec2WithEndpoints)
    world.ec2.endpoints = (endpoint("Gateway", 2),)
    assert look(world).hourly == 0
    world.ec2.endpoints = (endpoint("Interface", 1),)
    one = look(world).hourly
    world.ec2.endpoints = (endpoint("Interface", 2),)
    assert one == pytest.approx(0.01)
    assert look(world).hourly == pytest.approx(0.02)


def test_one_unknown_price_makes_the_total_unknown(world: DeclaredAws) -> None:
    stand(world)
    world.ec2.hosts.append(replace(world.ec2.declare_host("i-1", TAGS), instance_type="x9.huge"))
    status = look(world)
    assert (status.hourly, status.spent) == (None, None)
    assert "an unknown price" in status.sentence()


@pytest.mark.parametrize(
    ("expires", "after", "words"),
    [
        ("2026-11-21T08:00:00Z", HOUR, "hosts power off in 7 h 00 min"),
        ("2026-11-21T08:00:00Z", 9 * HOUR, "its time to live ended at 2026-11-21T08:00:00Z"),
        ("never", HOUR, "no time to live is set"),
    ],
)
def test_the_time_to_live_is_the_tags(world: DeclaredAws, expires: str, after: timedelta, words: str) -> None:
    stand(world, expires)
    assert words in look(world, after).sentence()


def test_the_document_says_what_the_sentence_says(world: DeclaredAws) -> None:
    stand(world)
    document = look(world).as_document()
    assert document["deployment"] == "demo"
    assert document["seconds_left"] == 7 * 3600
    assert document["items"] == [{"kind": "stack", "id": "demo", "state": "CREATE_COMPLETE"}]
