"""Load balancers: found by tag, removed where no stack owns them, shown and priced."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from provisioning.audit import audit
from provisioning.aws.elbv2 import BalancingRecord, Elbv2
from provisioning.balancers import RELEASED_S, load_balancers
from provisioning.errors import AwsError, NotFound
from provisioning.pricing import EndpointCharge, PriceTable, estimate
from provisioning.setup import endpoint_charge
from provisioning.status import observe_status
from provisioning.teardown import StillThere, describe, observe, plan_teardown, teardown
from tests.provisioning.declared import DeclaredAws, StillClock, declare_aws
from tests.provisioning.declared_hosts import DeclaredEc2
from tests.provisioning.declared_stacks import START
from tests.stacks.specs import BALANCED, described

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from provisioning.aws.ec2 import EndpointRecord


PRICES = PriceTable.load()
OURS = {"amazonei:deployment": "demo"}


@dataclass
class DeclaredElbv2(Elbv2):
    """Load balancers and target groups with their tags, by ARN."""

    balancers: dict[str, Mapping[str, str]] = field(default_factory=dict)
    targets: dict[str, Mapping[str, str]] = field(default_factory=dict)
    health: dict[str, str] = field(default_factory=dict)
    refusals: int = 0  # how often a target group is still in use

    def load_balancers(self) -> tuple[BalancingRecord, ...]:
        return tuple(BalancingRecord(arn=arn, name=f"name of {arn}") for arn in self.balancers)

    def target_groups(self) -> tuple[BalancingRecord, ...]:
        return tuple(BalancingRecord(arn=arn, name=f"name of {arn}") for arn in self.targets)

    def tags(self, arns: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        return {arn: (self.balancers | self.targets)[arn] for arn in arns}

    def target_health(self, target_group: str) -> Mapping[str, str]:
        if target_group not in self.targets:
            raise NotFound("gone")
        return self.health

    def delete_load_balancer(self, arn: str) -> None:
        del self.balancers[arn]

    def delete_target_group(self, arn: str) -> None:
        if self.refusals:
            self.refusals -= 1
            raise AwsError("in use", aws_code="ResourceInUse")
        del self.targets[arn]


class WithoutEndpoints(DeclaredEc2):
    def vpc_endpoints(self, tags: Mapping[str, str | None]) -> tuple[EndpointRecord, ...]:
        return ()


@pytest.fixture
def elb() -> DeclaredElbv2:
    return DeclaredElbv2(
        balancers={"lb-1": OURS, "lb-2": {"amazonei:deployment": "other"}, "lb-3": {}},
        targets={"tg-1": OURS, "tg-2": {}},
    )


@pytest.fixture
def world(elb: DeclaredElbv2) -> DeclaredAws:
    declared = declare_aws()
    declared.aws.elbv2 = elb
    declared.ec2 = WithoutEndpoints()
    declared.aws.ec2 = declared.ec2
    return declared


def test_an_audit_finds_those_with_the_deployments_tag(world: DeclaredAws) -> None:
    assert [(found.kind, found.id) for found in audit(world.aws, "demo")] == [
        ("load balancer", "lb-1"),
        ("target group", "tg-1"),
    ]
    assert {found.id for found in load_balancers(world.aws, None)} == {"lb-1", "lb-2"}


def test_what_a_stack_owns_goes_with_it_and_the_rest_goes_first(world: DeclaredAws) -> None:
    owned = {"lb-1": "AWS::ElasticLoadBalancingV2::LoadBalancer"}
    world.cloudformation.declare_stack("demo", resources=owned)
    assert [describe(step) for step in plan_teardown(observe(world.aws, "demo"))] == [
        "delete target group name of tg-1",
        "delete stack demo (CREATE_COMPLETE)",
    ]


def test_orphans_are_removed_and_others_stay(world: DeclaredAws, elb: DeclaredElbv2) -> None:
    elb.refusals = 2  # as AWS answers until the balancer has let go of its targets
    teardown(world.aws, "demo", say=lambda _: None, clock=StillClock())
    assert (set(elb.balancers), set(elb.targets)) == ({"lb-2", "lb-3"}, {"tg-2"})


def test_a_target_group_that_stays_in_use_is_left_behind_and_told(
    world: DeclaredAws, elb: DeclaredElbv2
) -> None:
    elb.refusals = 10_000
    clock = StillClock()
    with pytest.raises(StillThere) as told:
        teardown(world.aws, "demo", say=lambda _: None, clock=clock)
    assert [(left.kind, left.id) for left in told.value.leftovers] == [("target group", "tg-1")]
    assert clock.now >= 1000 + RELEASED_S


def test_another_refusal_is_told_with_what_is_left(world: DeclaredAws, elb: DeclaredElbv2) -> None:
    def refuse(arn: str) -> None:
        raise AwsError(f"no: {arn}", aws_code="OperationNotPermitted")

    elb.delete_load_balancer = refuse  # type: ignore[method-assign]
    with pytest.raises(StillThere, match="no: lb-1"):
        teardown(world.aws, "demo", say=lambda _: None, clock=StillClock())


def test_the_status_says_where_clients_connect_and_who_serves_them(
    world: DeclaredAws, elb: DeclaredElbv2
) -> None:
    elb.health = {"i-1": "healthy", "i-2": "unhealthy", "i-3": "healthy"}
    stack = world.cloudformation.declare_stack("demo")
    stack.record = replace(stack.record, outputs={"BalancerUrl": "https://a.elb", "TargetGroup": "tg-1"})
    status = observe_status(world.aws, "demo", PRICES, START + timedelta(hours=1))
    (line,) = (item for item in status.items if item.kind == "load balancer of demo")
    assert (line.id, line.state) == ("https://a.elb", "2 of 3 hosts in rotation")
    assert status.as_document()["balancers"] == [
        {"stack": "demo", "url": "https://a.elb", "healthy": 2, "hosts": elb.health}
    ]
    assert status.hourly == pytest.approx(0.0225 + 0.008)
    del elb.targets["tg-1"]
    assert observe_status(world.aws, "demo", PRICES, START).balancers[0].hosts == {}


def test_a_balancer_and_its_first_capacity_unit_are_two_lines_of_the_bill() -> None:
    charge = endpoint_charge(described(targets=[BALANCED, {"accelerator": "inf2.xlarge"}]))
    assert charge.balancers == 1
    bill = estimate(PRICES, "us-east-1", (), EndpointCharge(balancers=2))
    assert [(item.quantity, item.unit_price) for item in bill.items] == [(2, 0.0225), (2, 0.008)]
    unknown = estimate(PRICES, "eu-north-1", (), EndpointCharge(balancers=1))
    assert [problem.message[:41] for problem in unknown.missing] == [
        "There is no price for load-balancer in eu",
        "There is no price for load-balancer-unit ",
    ]
