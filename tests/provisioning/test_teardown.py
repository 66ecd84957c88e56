from __future__ import annotations

import pytest

from provisioning.deployment import TAG_DEPLOYMENT
from provisioning.errors import AwsError, AwsUnreachable, CredentialsMissing, StackFailed
from provisioning.teardown import (
    StillThere,
    describe,
    observe,
    perform,
    plan_teardown,
    teardown,
)
from tests.provisioning.declared import DeclaredAws, StillClock, declare_aws

FOUNDATION = {"demo-bucket": "AWS::S3::Bucket", "vpc-1": "AWS::EC2::VPC"}


@pytest.fixture
def world() -> DeclaredAws:
    return declare_aws()


def plan(world: DeclaredAws) -> list[str]:
    return [describe(step) for step in plan_teardown(observe(world.aws, "demo"))]


def run(world: DeclaredAws, clock: StillClock | None = None) -> list[str]:
    lines: list[str] = []
    teardown(world.aws, "demo", say=lines.append, clock=clock or StillClock())
    return lines


def declare_deployment(world: DeclaredAws) -> None:
    world.s3.declare_bucket("demo-bucket", versions=3, uploads=1)
    foundation = world.cloudformation.declare_stack("demo", resources=FOUNDATION)
    for name in ("demo-c7i-xlarge", "demo-inf2-xlarge"):
        world.cloudformation.declare_stack(name)
        world.cloudformation.declare_import(foundation, name)


def test_the_plan_takes_hosts_first_and_empties_the_bucket_last(world: DeclaredAws) -> None:
    declare_deployment(world)
    assert plan(world) == [
        "delete stack demo-c7i-xlarge (CREATE_COMPLETE)",
        "delete stack demo-inf2-xlarge (CREATE_COMPLETE)",
        "wait until the network interfaces of hosts in vpc-1 are gone",
        "empty bucket demo-bucket, all versions",
        "delete stack demo (CREATE_COMPLETE)",
    ]


def test_observing_and_planning_change_nothing(world: DeclaredAws) -> None:
    declare_deployment(world)
    plan(world)
    assert world.cloudformation.calls == []
    assert world.s3.batches == []


def test_teardown_removes_everything_and_proves_it(world: DeclaredAws) -> None:
    declare_deployment(world)
    run(world)
    assert world.cloudformation.calls == [
        "delete-stack demo-c7i-xlarge",
        "delete-stack demo-inf2-xlarge",
        "delete-stack demo",
    ]
    assert (world.cloudformation.names(), world.s3.buckets()) == ([], ())


def test_there_is_nothing_to_do_for_a_deployment_that_does_not_exist(world: DeclaredAws) -> None:
    world.cloudformation.declare_stack("other", tags={TAG_DEPLOYMENT: "other"})
    assert plan(world) == []
    assert run(world) == []
    assert world.cloudformation.names() == ["other"]


def test_an_interrupted_teardown_is_finished_by_the_next(world: DeclaredAws) -> None:
    declare_deployment(world)
    steps = plan_teardown(observe(world.aws, "demo"))
    perform(world.aws, steps[:4], say=lambda _line: None, clock=StillClock())
    assert world.cloudformation.names() == ["demo"]
    run(world)
    assert world.cloudformation.names() == []


def test_nothing_without_our_tag_is_touched(world: DeclaredAws) -> None:
    look_alikes: list[dict[str, str]] = [{}, {TAG_DEPLOYMENT: "demo2"}, {"deployment": "demo"}]
    for number, tags in enumerate(look_alikes):
        world.s3.declare_bucket(f"demo-look-alike-{number}", tags=tags, versions=1)
        world.cloudformation.declare_stack("demo" if number == 0 else f"demo-{number}", tags=tags)
    assert observe(world.aws, "demo").foreign_stacks == ("demo",)
    assert run(world) == []
    assert world.cloudformation.calls == []
    assert all(world.s3.holds_something(bucket) for bucket in world.s3.buckets())


@pytest.mark.parametrize(
    ("name", "tags", "ours"),
    [
        ("demo", None, True),
        ("demo-c7i-xlarge", None, True),
        ("demo-eia2-medium", {TAG_DEPLOYMENT: "demo"}, True),
        ("demo-c7i-xlarge", {TAG_DEPLOYMENT: "demo-c7i-xlarge"}, False),
        ("demo", {"team": "x"}, False),
        ("demo-website", None, False),
        ("demo-website", {TAG_DEPLOYMENT: "demo"}, False),
    ],
)
def test_a_stack_in_review_is_ours_by_its_exact_name_unless_its_change_set_says_otherwise(
    world: DeclaredAws, name: str, tags: dict[str, str] | None, ours: bool
) -> None:
    world.cloudformation.declare_stack(name, status="REVIEW_IN_PROGRESS", tags={})
    if tags is not None:
        world.cloudformation.declare_change_set(name, tags)
    assert plan(world) == ([f"delete stack {name} (REVIEW_IN_PROGRESS)"] if ours else [])


def test_a_protected_stack_stops_the_teardown_before_anything_is_deleted(world: DeclaredAws) -> None:
    world.cloudformation.declare_stack("demo-c7i-xlarge")
    world.cloudformation.declare_stack("demo", protected=True)
    with pytest.raises(StackFailed, match="Termination protection of stack demo is on"):
        run(world)
    assert world.cloudformation.calls == []


def test_a_bucket_that_outlived_its_stack_is_emptied_and_deleted(world: DeclaredAws) -> None:
    world.s3.declare_bucket("orphan", versions=2, uploads=2)
    assert run(world) == ["empty bucket orphan, all versions", "delete bucket orphan"]
    assert world.s3.buckets() == ()


def test_objects_are_deleted_a_thousand_at_a_time(world: DeclaredAws) -> None:
    world.s3.declare_bucket("orphan", versions=2001)
    run(world)
    assert world.s3.batches == [1000, 1000, 1]


def test_a_bucket_that_vanished_meanwhile_is_empty(world: DeclaredAws) -> None:
    declare_deployment(world)
    steps = plan_teardown(observe(world.aws, "demo"))
    del world.s3.contents["demo-bucket"]
    assert perform(world.aws, steps, say=lambda _line: None, clock=StillClock()) == ()


def test_a_result_written_at_the_last_moment_is_emptied_out_again(world: DeclaredAws) -> None:
    world.s3.declare_bucket("demo-bucket", versions=1).late_writes = 1
    world.cloudformation.declare_stack("demo", resources=FOUNDATION)
    run(world)
    assert world.cloudformation.calls == ["delete-stack demo", "delete-stack demo"]


def test_a_bucket_that_keeps_filling_ends_with_what_is_left(world: DeclaredAws) -> None:
    world.s3.declare_bucket("demo-bucket", versions=1).late_writes = 99
    world.cloudformation.declare_stack("demo", resources=FOUNDATION)
    with pytest.raises(StillThere) as caught:
        run(world)
    assert world.cloudformation.calls == ["delete-stack demo"] * 3
    assert [(item.kind, item.id) for item in caught.value.leftovers] == [
        ("stack", "demo"),
        ("bucket", "demo-bucket"),
    ]
    assert caught.value.exit_code == 6
    assert "L-demo-bucket (AWS::S3::Bucket) DELETE_FAILED" in caught.value.message


def test_one_stuck_stack_does_not_keep_the_other_hosts_running(world: DeclaredAws) -> None:
    stuck = world.cloudformation.declare_stack("demo-c7i-xlarge")
    world.cloudformation.declare_import(stuck, "outsider")
    world.cloudformation.declare_stack("outsider", tags={})
    world.cloudformation.declare_stack("demo-inf2-xlarge")
    with pytest.raises(StillThere, match="demo-c7i-xlarge could not be deleted"):
        run(world)
    assert world.cloudformation.names() == ["demo-c7i-xlarge", "outsider"]


def test_an_object_that_is_kept_does_not_keep_the_hosts_running(world: DeclaredAws) -> None:
    bucket = world.s3.declare_bucket("demo-bucket", versions=1)
    bucket.refuses = AwsError("S3 kept k0 in demo-bucket", aws_code="AccessDenied")
    world.s3.declare_bucket("orphan", versions=1).refuses = AwsError("S3 kept k0 in orphan")
    world.cloudformation.declare_stack("demo", resources=FOUNDATION)
    world.cloudformation.declare_stack("demo-guard")
    with pytest.raises(StillThere) as caught:
        run(world)
    assert {"delete-stack demo", "delete-stack demo-guard"} <= set(world.cloudformation.calls)
    assert "S3 kept k0 in demo-bucket" in caught.value.message
    assert "S3 kept k0 in orphan" in caught.value.message
    assert world.s3.buckets() == ("demo-bucket", "orphan")


@pytest.mark.parametrize("error", [AwsUnreachable("no net"), CredentialsMissing("expired")])
def test_without_aws_nothing_more_is_tried(world: DeclaredAws, error: AwsError) -> None:
    world.s3.declare_bucket("demo-bucket", versions=1).refuses = error
    world.cloudformation.declare_stack("demo", resources=FOUNDATION)
    with pytest.raises(type(error)):
        run(world)
    assert world.cloudformation.calls == []


def test_interfaces_of_hosts_are_waited_for_and_those_of_endpoints_are_not(world: DeclaredAws) -> None:
    declare_deployment(world)
    world.ec2.interfaces = ["eni-endpoint", "eni-host-1", "eni-host-2"]
    world.ec2.of_endpoints = frozenset({"eni-endpoint"})
    world.ec2.released_per_look = 1
    steps = plan_teardown(observe(world.aws, "demo"))
    clock = StillClock()
    perform(world.aws, steps[2:3], say=lambda _line: None, clock=clock)
    assert world.ec2.interfaces == []
    assert len(clock.pauses) == 2


def test_interfaces_that_stay_do_not_keep_the_stack_from_being_tried(world: DeclaredAws) -> None:
    declare_deployment(world)
    world.ec2.interfaces = ["eni-forgotten"]
    clock = StillClock()
    lines: list[str] = []
    teardown(world.aws, "demo", say=lines.append, clock=clock)
    assert any("interfaces in vpc-1 remain;" in line for line in lines)
    assert clock.now - 1000 >= 1800
    assert world.cloudformation.names() == []


def test_what_is_listed_a_moment_longer_is_asked_for_again(world: DeclaredAws) -> None:
    world.ec2.declare_host("i-1", {TAG_DEPLOYMENT: "demo"}, state="shutting-down")
    clock = StillClock()
    clock.on_sleep = world.ec2.hosts.clear
    teardown(world.aws, "demo", say=lambda _line: None, clock=clock)
    assert len(clock.pauses) == 1


def test_a_host_outside_every_stack_is_found_by_the_audit(world: DeclaredAws) -> None:
    world.ec2.declare_host("i-1", {TAG_DEPLOYMENT: "demo"})
    with pytest.raises(StillThere) as caught:
        run(world)
    assert "aws ec2 terminate-instances --instance-ids i-1 --region us-west-2" in caught.value.message
    assert caught.value.hint.endswith("amazonei teardown --name demo --region us-west-2")
