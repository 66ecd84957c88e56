from __future__ import annotations

import pytest

from artifacts.errors import BadRequest
from provisioning.deploying import StackRequest, delete_stack, deploy_stack
from provisioning.deployment import TAG_DEPLOYMENT
from provisioning.errors import StackFailed
from tests.provisioning.declared import DeclaredAws, StillClock, declare_aws

REQUEST = StackRequest(
    name="demo",
    body="{}",
    parameters={"RunId": "r1"},
    tags={TAG_DEPLOYMENT: "demo"},
    token="r1-abc",
)


@pytest.fixture
def world() -> DeclaredAws:
    return declare_aws()


def deploy(world: DeclaredAws, lines: list[str] | None = None) -> dict[str, str]:
    told = [] if lines is None else lines
    outputs = deploy_stack(
        world.aws, REQUEST, on_event=lambda event: told.append(event.describe()), clock=StillClock()
    )
    return dict(outputs)


def test_a_new_stack_is_created_by_change_set_and_gives_its_outputs(world: DeclaredAws) -> None:
    world.cloudformation.the_stack_will_have(VpcId="vpc-1")
    assert deploy(world) == {"VpcId": "vpc-1"}
    assert world.cloudformation.calls == ["create-change-set CREATE demo", "execute-change-set demo"]
    (request,) = world.cloudformation.requests
    assert (request.name, request.token, request.parameters) == ("amazonei-r1-abc", "r1-abc", {"RunId": "r1"})


def test_each_event_of_this_operation_is_told_once_and_in_order(world: DeclaredAws) -> None:
    lines: list[str] = []
    world.cloudformation.declare_stack("demo")
    deploy(world, lines)
    assert lines == [
        "demo (AWS::CloudFormation::Stack) UPDATE_IN_PROGRESS",
        "Vpc (AWS::EC2::VPC) UPDATE_COMPLETE",
        "demo (AWS::CloudFormation::Stack) UPDATE_COMPLETE",
    ]


def test_nothing_to_change_is_success_and_executes_nothing(world: DeclaredAws) -> None:
    world.cloudformation.declare_stack("demo")
    world.cloudformation.the_change_set_will_be_refused("The submitted information didn't contain changes.")
    deploy(world)
    assert world.cloudformation.calls == ["create-change-set UPDATE demo", "delete-change-set demo"]


def test_a_stack_left_in_review_is_used_again(world: DeclaredAws) -> None:
    world.cloudformation.declare_stack("demo", status="REVIEW_IN_PROGRESS", tags={})
    deploy(world)
    assert world.cloudformation.calls == ["create-change-set CREATE demo", "execute-change-set demo"]


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"])
def test_a_stillborn_stack_is_deleted_first(world: DeclaredAws, status: str) -> None:
    world.cloudformation.declare_stack("demo", status=status)
    deploy(world)
    assert world.cloudformation.calls == [
        "delete-stack demo",
        "create-change-set CREATE demo",
        "execute-change-set demo",
    ]


def test_an_operation_that_is_running_is_waited_for(world: DeclaredAws) -> None:
    stack = world.cloudformation.declare_stack("demo", status="CREATE_IN_PROGRESS")
    world.cloudformation.declare_running(stack, "CREATE_IN_PROGRESS", "CREATE_COMPLETE")
    clock = StillClock()
    clock.on_sleep = lambda: world.cloudformation.go_on(stack)
    deploy_stack(world.aws, REQUEST, on_event=lambda _event: None, clock=clock)
    assert world.cloudformation.calls[0] == "create-change-set UPDATE demo"


@pytest.mark.parametrize("tags", [{}, {TAG_DEPLOYMENT: "somebody-else"}, {"team": "x"}])
@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "ROLLBACK_COMPLETE"])
def test_a_stack_that_is_not_ours_is_never_touched(
    world: DeclaredAws, tags: dict[str, str], status: str
) -> None:
    world.cloudformation.declare_stack("demo", status=status, tags=tags)
    with pytest.raises(BadRequest, match="not part of deployment demo"):
        deploy(world)
    assert world.cloudformation.calls == []


def test_a_review_of_somebody_elses_change_set_is_never_touched(world: DeclaredAws) -> None:
    world.cloudformation.declare_stack("demo", status="REVIEW_IN_PROGRESS", tags={})
    world.cloudformation.declare_change_set("demo", {"team": "x"})
    with pytest.raises(BadRequest):
        deploy(world)
    assert world.cloudformation.calls == []


def test_a_failed_create_is_told_by_its_first_failure_once_the_rollback_has_ended(world: DeclaredAws) -> None:
    lines: list[str] = []
    world.cloudformation.the_change_will_fail("Host", "AWS::EC2::Instance", "InsufficientInstanceCapacity")
    with pytest.raises(StackFailed) as caught:
        deploy(world, lines)
    assert caught.value.message == (
        "Stack demo failed at Host (AWS::EC2::Instance) CREATE_FAILED: InsufficientInstanceCapacity"
    )
    assert caught.value.aws_code == "ROLLBACK_COMPLETE"
    assert lines[-1] == "demo (AWS::CloudFormation::Stack) ROLLBACK_COMPLETE"


def test_a_failed_update_is_told_as_rolled_back(world: DeclaredAws) -> None:
    world.cloudformation.declare_stack("demo")
    world.cloudformation.the_change_will_fail("Host", "AWS::EC2::Instance", "no")
    with pytest.raises(StackFailed) as caught:
        deploy(world)
    assert (caught.value.aws_code, bool(caught.value.hint)) == ("UPDATE_ROLLBACK_COMPLETE", True)


def test_a_refused_change_set_leaves_no_empty_stack_behind(world: DeclaredAws) -> None:
    world.cloudformation.the_change_set_will_be_refused("Template error: unresolved dependency")
    with pytest.raises(StackFailed, match="unresolved dependency"):
        deploy(world)
    assert world.cloudformation.names() == []


def test_a_refused_change_set_of_a_living_stack_leaves_the_stack(world: DeclaredAws) -> None:
    world.cloudformation.declare_stack("demo")
    world.cloudformation.the_change_set_will_be_refused("Template error")
    with pytest.raises(StackFailed):
        deploy(world)
    assert world.cloudformation.names() == ["demo"]


def test_a_deletion_is_followed_to_its_end(world: DeclaredAws) -> None:
    stack = world.cloudformation.declare_stack("demo")
    lines: list[str] = []
    delete_stack(
        world.aws, stack.record, on_event=lambda event: lines.append(event.status), clock=StillClock()
    )
    assert lines == ["DELETE_IN_PROGRESS", "DELETE_COMPLETE"]


def test_a_failed_deletion_names_what_could_not_be_deleted(world: DeclaredAws) -> None:
    world.s3.declare_bucket("full", versions=1)
    stack = world.cloudformation.declare_stack("demo", resources={"full": "AWS::S3::Bucket"})
    with pytest.raises(StackFailed) as caught:
        delete_stack(world.aws, stack.record, on_event=lambda _event: None, clock=StillClock())
    assert "L-full (AWS::S3::Bucket) DELETE_FAILED" in caught.value.message
    assert caught.value.aws_code == "DELETE_FAILED"


def test_a_protected_stack_is_not_deleted_and_the_remedy_is_told(world: DeclaredAws) -> None:
    stack = world.cloudformation.declare_stack("demo", protected=True)
    with pytest.raises(StackFailed) as caught:
        delete_stack(world.aws, stack.record, on_event=lambda _event: None, clock=StillClock())
    assert "--no-enable-termination-protection --stack-name demo --region us-west-2" in caught.value.hint
    assert world.cloudformation.calls == []


def test_a_stack_that_does_not_settle_ends_the_wait_with_its_name(world: DeclaredAws) -> None:
    stack = world.cloudformation.declare_stack("demo")
    world.cloudformation.the_deletion_will_hang()
    heartbeats: list[float] = []
    with pytest.raises(StackFailed, match=r"demo.* had not settled after 45 minutes"):
        delete_stack(
            world.aws,
            stack.record,
            on_event=lambda _event: None,
            clock=StillClock(),
            on_heartbeat=heartbeats.append,
        )
    assert len(heartbeats) > 50
