from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from provisioning.aws.ec2 import ImageRecord
from provisioning.aws.sts import Sts
from provisioning.errors import PreflightFailed
from provisioning.plan import AwaitHosts, DeployStack, RefreshHosts, SetupPlan, describe, plan_document
from provisioning.pricing import PriceTable
from provisioning.setup import perform, plan_setup
from provisioning.standing import RunIdentity
from stacks.synth import SynthesizedStack, TemplateParameter
from tests.provisioning.declared import DeclaredAws, NoPages, StillClock, declare_aws
from tests.provisioning.declared_hosts import DeclaredEc2, DeclaredSsm
from tests.stacks.specs import described

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stacks.spec import DeploymentSpec

ZONES = {"c7i.xlarge": ("us-west-2a", "us-west-2b"), "inf2.xlarge": ("us-west-2b",)}
PRICES = PriceTable.load()
NOW = datetime.now(UTC).replace(microsecond=0)
FRESH = RunIdentity.new(8 * 3600, NOW)
SPEC = described("c7i.xlarge", "inf2.xlarge", name="bench")


class Region(DeclaredEc2):
    """A region that offers types where a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.offered: dict[str, tuple[str, ...]] = dict(ZONES)

    def instance_type_zones(self, instance_types: Sequence[str]) -> dict[str, tuple[str, ...]]:
        return {name: self.offered.get(name, ()) for name in instance_types}

    def s3_prefix_list_id(self, region: str | None = None) -> str:
        return "pl-0a1b2c3d"

    def image(self, image_id: str) -> ImageRecord:
        return ImageRecord(
            image_id=image_id, name="i", architecture="x86_64", state="available", root_device="/dev/xvda"
        )


class Parameters(DeclaredSsm):
    def parameter(self, name: str) -> str:
        return "ami-0a1b2c3d"


@pytest.fixture
def world() -> DeclaredAws:
    declared = declare_aws()
    declared.ec2, declared.ssm = Region(), Parameters()
    declared.aws.ec2, declared.aws.ssm = declared.ec2, declared.ssm
    client: Any = NoPages()
    declared.aws.sts = Sts(client)
    return declared


def stack(
    name: str, *parameters: str, spec: DeploymentSpec = SPEC, host: int | None = None
) -> SynthesizedStack:
    return SynthesizedStack(
        name=name,
        body="{}",
        digest=name.encode().hex().ljust(64, "0"),
        parameters=tuple(TemplateParameter(name=each, type="String", default=None) for each in parameters),
        hosts=() if host is None else (spec.hosts[host],),
    )


STACKS = (
    stack("bench", "RunId", "ExpiresAt", "FirstZone", "SecondZone", "S3PrefixListId"),
    stack("bench-c7i-xlarge", "HostZone", "ImageId", host=0),
    stack("bench-inf2-xlarge", "HostZone", host=1),
)


def planned(world: DeclaredAws, identity: RunIdentity = FRESH) -> SetupPlan:
    return plan_setup(SPEC, STACKS, world.aws, PRICES, identity)


def deploys(plan: SetupPlan) -> list[DeployStack]:
    return [step for step in plan.steps if isinstance(step, DeployStack)]


def test_each_template_gets_the_parameters_it_takes_and_keeps_its_other_defaults(world: DeclaredAws) -> None:
    first, cpu, inferentia = deploys(planned(world))
    assert dict(first.parameters) == {
        "RunId": FRESH.run_id,
        "ExpiresAt": FRESH.expires_at,
        "FirstZone": "us-west-2a",
        "SecondZone": "us-west-2b",
        "S3PrefixListId": "pl-0a1b2c3d",
    }
    assert dict(cpu.parameters) == {"HostZone": "first"}
    assert dict(inferentia.parameters) == {"HostZone": "second"}


def test_the_hosts_are_awaited_after_every_stack(world: DeclaredAws) -> None:
    plan = planned(world)
    assert [describe(step) for step in plan.steps][:1] == [
        f"create stack bench (template {STACKS[0].digest[:12]})"
    ]
    assert plan.steps[3:] == (
        AwaitHosts(accelerator="c7i.xlarge", count=1),
        AwaitHosts(accelerator="inf2.xlarge", count=1),
    )


def test_hosts_of_groups_are_replaced_after_everything_else_and_only_when_asked(world: DeclaredAws) -> None:
    spec = described(targets=[{"accelerator": "c7i.xlarge", "count": 2}, {"accelerator": "inf2.xlarge"}])
    plans = [
        plan_setup(spec, STACKS, world.aws, PRICES, FRESH, refresh=refresh).steps for refresh in (False, True)
    ]
    assert plans[1] == (*plans[0], RefreshHosts(accelerator="c7i.xlarge"))
    assert describe(plans[1][-1]).startswith("replace c7i.xlarge hosts of an older launch template")


def test_the_price_of_the_plan_is_the_sum_of_its_items(world: DeclaredAws) -> None:
    document = plan_document(planned(world))
    assert document["hourly_usd"] == pytest.approx(
        sum(item["hourly"] for item in document["items"]), abs=1e-6
    )
    labels = " ".join(item["label"] for item in document["items"])
    assert "c7i.xlarge host" in labels
    assert "inf2.xlarge host" in labels
    assert "interface endpoints" in labels


def test_every_problem_is_reported_at_once_and_nothing_is_planned(world: DeclaredAws) -> None:
    assert isinstance(world.ec2, Region)
    world.ec2.offered = {}
    with pytest.raises(PreflightFailed) as caught:
        planned(world)
    assert "c7i.xlarge is not offered" in caught.value.message
    assert "inf2.xlarge is not offered" in caught.value.message
    assert world.cloudformation.calls == []


def declare_standing(world: DeclaredAws, began: datetime) -> RunIdentity:
    former = RunIdentity.new(8 * 3600, began)
    found = world.cloudformation.declare_stack("bench", tags={"amazonei:deployment": "bench"})
    values = {"RunId": former.run_id, "ExpiresAt": former.expires_at}
    found.record = replace(found.record, parameters=values)
    return former


def test_what_stands_is_updated_under_its_own_identity_by_a_request_of_its_own(world: DeclaredAws) -> None:
    former = declare_standing(world, NOW - timedelta(hours=1))
    plan = planned(world)
    assert (plan.run_id, plan.expires_at) == (former.run_id, former.expires_at)
    assert plan.attempt == FRESH.run_id  # or CloudFormation would take the change set for the former one
    assert [step.exists for step in deploys(plan)] == [True, False, False]
    assert describe(plan.steps[0]).startswith("update stack bench")


def test_what_is_over_is_not_set_up_again(world: DeclaredAws) -> None:
    declare_standing(world, NOW - timedelta(hours=9))
    with pytest.raises(PreflightFailed, match="teardown --name bench"):
        planned(world)


def test_carrying_out_deploys_in_order_tags_everything_and_awaits_the_hosts(world: DeclaredAws) -> None:
    for accelerator in ("c7i.xlarge", "inf2.xlarge"):
        tags = {"amazonei:deployment": "bench", "amazonei:accelerator": accelerator}
        world.ec2.declare_host(f"i-{accelerator[:3]}", tags)
        world.ssm.declare_agent(f"i-{accelerator[:3]}")
    world.cloudformation.the_stack_will_have(ArtifactBucket="box")
    said: list[str] = []

    done = perform(planned(world), world.aws, StillClock(), said.append)

    assert (done.changed, done.outputs) == (True, {"ArtifactBucket": "box"})
    requests = world.cloudformation.requests
    assert [request.stack for request in requests] == ["bench", "bench-c7i-xlarge", "bench-inf2-xlarge"]
    for request in requests:
        assert request.tags == {
            "amazonei:deployment": "bench",
            "amazonei:run": FRESH.run_id,
            "amazonei:expires-at": FRESH.expires_at,
        }
    assert said[-2:] == ["i-c7i can take commands", "i-inf can take commands"]


def test_where_no_stack_differs_nothing_was_changed(world: DeclaredAws) -> None:
    plan = replace(planned(world), steps=planned(world).steps[:1])
    declare_standing(world, NOW)
    world.cloudformation.the_change_set_will_be_refused("The submitted information didn't contain changes.")
    said: list[str] = []
    done = perform(plan, world.aws, StillClock(), said.append)
    assert (done.changed, said) == (False, [])
