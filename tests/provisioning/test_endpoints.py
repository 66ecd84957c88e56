"""Shipping to an endpoint: what is planned, what is refused, and what a failure tells."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from artifacts.errors import ArtifactRefused, BadRequest
from artifacts.serve.sagemaker.package import ModelPackage
from provisioning.aws.checksums import upload_checksum
from provisioning.aws.logs import Logs
from provisioning.aws.sagemaker import EndpointRecord, SageMaker
from provisioning.deployment import Deployment
from provisioning.endpoints import (
    EndpointPlan,
    choose_endpoint,
    perform,
    plan_endpoint,
    refuse_unguarded,
    refuse_unservable,
    upload,
)
from provisioning.errors import EndpointFailed, StackFailed
from provisioning.operations import HostCalls
from provisioning.pricing import PriceTable
from provisioning.standing_endpoints import choose_standing
from stacks.settings import parse_deployment
from stacks.synth import SynthesizedStack
from tests.artifacts.manifests import TOOLCHAIN, manifest_of
from tests.provisioning.declared import DeclaredAws, StillClock, declare_aws
from tests.provisioning.declared_buckets import DeclaredS3

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from artifacts.manifest import Manifest
    from stacks.spec import DeploymentSpec

STACK = "demo-endpoint-c7i-xlarge"
MADE = SynthesizedStack(name=STACK, body="{}", digest="d" * 64, parameters=(), hosts=())


class Store(DeclaredS3):
    """A bucket that keeps what is uploaded."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, str] = {}
        self.sent: list[str] = []

    def kept_checksum(self, bucket: str, key: str) -> str | None:
        return self.kept.get(key)

    def upload_file(
        self,
        path: Path,
        bucket: str,
        key: str,
        on_bytes: Callable[[int], None] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.sent.append(key)
        self.kept[key] = upload_checksum(path)


class DeclaredSageMaker(SageMaker):
    def __init__(self, failure: str) -> None:
        self.failure = failure

    def endpoint(self, name: str) -> EndpointRecord:
        return EndpointRecord(
            name=name, status="Failed", failure=self.failure, configuration="c", instances=0
        )


class DeclaredLogs(Logs):
    def __init__(self, *lines: str) -> None:
        self.lines = lines

    def streams_since(self, group: str, moment: float) -> tuple[str, ...]:
        assert group == "/aws/sagemaker/Endpoints/demo-c7i-xlarge"
        return ("old", "new")

    def tail(self, group: str, stream: str, lines: int) -> tuple[str, ...]:
        assert stream == "new"
        return self.lines


def made_with(torch: str = "2.6.0", **changes: Any) -> Manifest:
    return manifest_of(toolchain=replace(TOOLCHAIN, torch=torch), **changes)


@pytest.fixture
def world() -> DeclaredAws:
    made = declare_aws()
    made.aws.s3 = Store()
    made.cloudformation.declare_stack("demo")
    return made


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    path = tmp_path / "model.tar.gz"
    path.write_bytes(b"package")
    return ModelPackage(path=path, size=7, sha256="a" * 64, manifest=made_with())


def spec(region: str = "us-east-1", **row: Any) -> DeploymentSpec:
    host: dict[str, Any] = {"accelerator": "c7i.xlarge"}
    document = {"name": "demo", "region": region, "targets": [host], "endpoints": [host | row]}
    return parse_deployment(document)


def deployment(world: DeclaredAws) -> Deployment:
    stacks = tuple(each.record for each in world.cloudformation.all.values())
    return Deployment(name="demo", stacks=stacks, bucket="bucket", document="document", hosts=())


def calls(world: DeclaredAws) -> HostCalls:
    return HostCalls(
        aws=world.aws,
        deployment=deployment(world),
        clock=StillClock(),
        say=lambda _: None,
        emulated=False,
    )


def planned(world: DeclaredAws, package: ModelPackage, **changes: Any) -> EndpointPlan:
    return plan_endpoint(
        deployment(world), spec(**changes), [MADE], package, PriceTable.load(), emulated=False
    )


def test_a_plan_says_what_is_deployed_and_what_it_costs(world: DeclaredAws, package: ModelPackage) -> None:
    document = planned(world, package, count=2, max_count=3).as_document()
    assert document["endpoint"] == "demo-c7i-xlarge"
    assert document["hourly_usd"] == pytest.approx(2 * 0.214)
    assert document["instances"] == [2, 3]
    assert [step.split()[0] for step in document["steps"]] == ["upload", "create", "wait"]


def test_a_price_nobody_knows_is_said_and_not_guessed(world: DeclaredAws, package: ModelPackage) -> None:
    document = planned(world, package, region="eu-west-1").as_document()
    assert document["hourly_usd"] is None
    assert "no price for ml.c7i.xlarge in eu-west-1" in document["notes"][0]


def test_the_stack_is_told_the_package_and_the_artifact(world: DeclaredAws, package: ModelPackage) -> None:
    values = dict(planned(world, package).step.parameters)
    assert values["ModelDataUrl"] == f"s3://bucket/artifacts/packages/{'a' * 64}.tar.gz"
    assert values["ManifestDigest"] == package.manifest.digest


def test_an_endpoint_that_is_not_configured_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"No endpoint on inf2\.xlarge is configured"):
        choose_endpoint(spec(), made_with(target="inf2.xlarge"))


def test_what_the_image_cannot_open_is_refused_on_aws_and_said_when_emulated() -> None:
    endpoint = choose_endpoint(spec(), made_with())
    newer = made_with("2.13.0")
    with pytest.raises(ArtifactRefused, match=r":2\.6\.0-cpu.* has torch 2\.6\.0, which is older"):
        refuse_unservable(newer, endpoint, emulated=False)
    (note,) = refuse_unservable(newer, endpoint, emulated=True)
    assert note.startswith("On AWS this would be refused")
    own = {"image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:1", "torch": "2.13.0"}
    assert refuse_unservable(newer, choose_endpoint(spec(**own), newer), emulated=False) == ()
    with pytest.raises(ArtifactRefused, match="stand-in"):
        refuse_unservable(made_with(stand_in=True), endpoint, emulated=False)


def test_an_endpoint_its_guard_does_not_know_is_refused(world: DeclaredAws) -> None:
    refuse_unguarded(calls(world), STACK)  # the CDK's deployments have no guard
    world.cloudformation.declare_stack(
        "demo-guard", resources={"demo-guard|other": "AWS::Scheduler::Schedule"}
    )
    with pytest.raises(BadRequest, match="does not know of demo-endpoint-c7i-xlarge"):
        refuse_unguarded(calls(world), STACK)


def test_a_known_package_is_not_sent_again(world: DeclaredAws, package: ModelPackage) -> None:
    plan = planned(world, package)
    world.cloudformation.the_stack_will_have(EndpointName="demo-c7i-xlarge")
    assert perform(calls(world), plan) is True
    world.cloudformation.the_change_set_will_be_refused("The submitted information didn't contain changes.")
    assert perform(calls(world), plan) is False
    assert isinstance(world.aws.s3, Store)
    assert world.aws.s3.sent == [package.key]


@pytest.mark.parametrize("kept", ["c29tZXRoaW5nIGVsc2U=", ""])
def test_an_object_of_another_checksum_is_replaced(
    world: DeclaredAws, package: ModelPackage, kept: str
) -> None:
    said: list[str] = []
    world.aws.s3 = store = Store()
    store.kept[package.key] = kept  # whatever its metadata and its size say
    assert upload(replace(calls(world), say=said.append), package) is True
    assert store.sent == [package.key]
    assert "has another SHA-256 than the package, or none: it is replaced" in said[0]
    assert upload(calls(world), package) is False


def test_a_package_is_sent_again_when_that_is_asked_for(world: DeclaredAws, package: ModelPackage) -> None:
    plan = planned(world, package)
    world.cloudformation.the_stack_will_have(EndpointName="demo-c7i-xlarge")
    perform(calls(world), plan)
    again = replace(plan, resend=True)
    assert "unless it is there" in plan.steps()[0]
    assert "unless" not in again.steps()[0]
    world.cloudformation.the_change_set_will_be_refused("The submitted information didn't contain changes.")
    assert perform(calls(world), again) is True
    assert isinstance(world.aws.s3, Store)
    assert world.aws.s3.sent == [package.key] * 2


TOLD = (
    "Endpoint demo-c7i-xlarge failed: It did not pass the ping health check.\n"
    "The end of the container's log:\n  Traceback\n  RuntimeError: no such program"
)


@pytest.fixture
def failing(world: DeclaredAws) -> DeclaredAws:
    """Return an account in which the endpoint's container ends."""
    world.cloudformation.the_change_will_fail(
        "Endpoint", "AWS::SageMaker::Endpoint", "Resource handler returned message: no"
    )
    world.aws.sagemaker = DeclaredSageMaker("It did not pass the ping health check.")
    world.aws.logs = DeclaredLogs("Traceback", "RuntimeError: no such program")
    return world


def test_a_failed_endpoint_tells_its_reason_and_its_log(failing: DeclaredAws, package: ModelPackage) -> None:
    with pytest.raises(EndpointFailed) as failed:
        perform(calls(failing), planned(failing, package))
    assert failed.value.exit_code == 5
    assert failed.value.message == TOLD
    assert failed.value.hint == "Nothing of the endpoint is left."
    assert failing.cloudformation.names() == ["demo"]


def test_a_failed_endpoint_that_cannot_be_deleted_tells_its_reason_all_the_same(
    failing: DeclaredAws, package: ModelPackage
) -> None:
    failing.cloudformation.the_deletion_will_hang()
    with pytest.raises(EndpointFailed) as failed:
        perform(calls(failing), planned(failing, package))
    assert failed.value.message == (
        f"{TOLD}\nWhat is left of the endpoint could not be deleted: "
        f"Stack arn:{STACK}/1 had not settled after 45 minutes."
    )
    assert failed.value.hint.endswith("`amazonei teardown` deletes it with the rest.")


def test_a_stack_that_cannot_be_deleted_does_not_hide_what_failed_in_it(
    world: DeclaredAws, package: ModelPackage
) -> None:
    world.cloudformation.the_change_will_fail("Role", "AWS::IAM::Role", "no such policy")
    world.cloudformation.the_deletion_will_hang()
    with pytest.raises(StackFailed) as failed:
        perform(calls(world), planned(world, package))
    first, second = failed.value.message.splitlines()
    assert "no such policy" in first
    assert "could not be deleted: " in second


def test_an_endpoint_is_asked_by_name_or_by_being_the_only_one(world: DeclaredAws) -> None:
    with pytest.raises(BadRequest, match="has no endpoint"):
        choose_standing(deployment(world), None)
    for kind in ("c7i", "inf2"):
        made = world.cloudformation.declare_stack(f"demo-endpoint-{kind}-xlarge")
        made.record = replace(made.record, outputs={"EndpointName": f"demo-{kind}-xlarge"})
    assert choose_standing(deployment(world), "inf2.xlarge") == "demo-inf2-xlarge"
    with pytest.raises(BadRequest, match="There are several endpoints: demo-c7i-xlarge, demo-inf2-xlarge"):
        choose_standing(deployment(world), None)
