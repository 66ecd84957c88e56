"""A whole life cycle, call by call: everything that was called is in the deployer's policy."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from artifacts.serve.requests import StatusRequest
from provisioning.audit import audit
from provisioning.aws import Credentials, connect
from provisioning.deployer_policy import Place, deployer_policy
from provisioning.deployment import observe_deployment
from provisioning.operations import HostCalls, Operation, operate
from provisioning.pricing import PriceTable
from provisioning.setup import perform, plan_setup, settle_spec
from provisioning.standing import RunIdentity
from provisioning.status import observe_status
from provisioning.teardown import teardown
from provisioning.waiting import SystemClock
from stacks.settings import parse_deployment
from stacks.synth import synthesize
from tests.provisioning.emulator.emulated import REGION

if TYPE_CHECKING:
    from provisioning.aws import Aws
    from provisioning.emulator.state import Running

# IAM's names of calls that are not the call's own.
IAM_NAMES = {
    "budgets:DescribeBudgets": ("budgets:ViewBudget",),
    "s3:DeleteObjects": ("s3:DeleteObject", "s3:DeleteObjectVersion"),
    "s3:HeadObject": ("s3:GetObject",),
    "s3:ListBuckets": ("s3:ListAllMyBuckets",),
    "s3:ListMultipartUploads": ("s3:ListBucketMultipartUploads",),
    "s3:ListObjectVersions": ("s3:ListBucketVersions",),
    "sts:GetCallerIdentity": (),
}


@pytest.fixture
def called() -> set[str]:
    return set()


@pytest.fixture
def edge(running: Running, called: set[str]) -> Aws:
    keys = Credentials(access_key=running.access_key, secret_key=running.secret_key)
    aws = connect(REGION, endpoint_url=running.endpoint_url, credentials=keys)

    def record(model: Any, **_context: object) -> None:
        called.add(f"{model.service_model.endpoint_prefix}:{model.name}")

    aws._session.events.register("before-call", record)
    return aws


def actions(called: set[str]) -> set[str]:
    prefixes = {"monitoring": "cloudwatch", "api.sagemaker": "sagemaker"}
    named = {
        f"{prefixes.get(call.partition(':')[0], call.partition(':')[0])}:{call.partition(':')[2]}"
        for call in called
    }
    return {action for call in named for action in IAM_NAMES.get(call, (call,))}


def test_a_life_cycle_makes_no_call_that_the_policy_does_not_allow(edge: Aws, called: set[str]) -> None:
    name = "recorded"
    spec = parse_deployment({"name": name, "region": REGION, "targets": [{"accelerator": "c7i.xlarge"}]})
    settled = settle_spec(edge, spec)
    stacks = synthesize(settled)
    identity = RunIdentity(run_id="recorded", expires_at="2036-01-01T00:00:00Z")
    clock = SystemClock()
    perform(plan_setup(settled, stacks, edge, PriceTable.load(), identity), edge, clock, ignore)
    deployment = observe_deployment(edge, name)
    calls = HostCalls(aws=edge, deployment=deployment, clock=clock, say=ignore, emulated=True)
    status = Operation(name="status", request=StatusRequest(id="0" * 32), timeout_s=60)
    (answer,) = operate(calls, "c7i.xlarge", status).values()
    assert answer["ok"] is True
    observe_status(edge, name, PriceTable.load(), datetime.now(UTC))
    teardown(edge, name, say=ignore, clock=clock)
    assert audit(edge, name) == ()

    policy = deployer_policy(settled, stacks, Place(account="123456789012", region=REGION))
    lists = [statement["Action"] for statement in policy["Statement"]]
    allowed = {each for named in lists for each in ([named] if isinstance(named, str) else named)}
    assert actions(called) - allowed == set()
    assert len(actions(called)) > 40, "the life cycle was recorded"


def ignore(_line: str) -> None:
    """Say nothing."""
