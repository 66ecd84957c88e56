from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from artifacts.errors import BadRequest
from stacks.guard import appointments
from stacks.synth import synthesize
from tests.stacks.specs import described

if TYPE_CHECKING:
    from collections.abc import Iterator

BUDGET = {"max_usd": 5, "email": "me@example.org"}
MANY = described(
    "c7i.xlarge", "inf2.xlarge", name="bench", guard=True, endpoints=[{"accelerator": "g6.xlarge"}]
)


def resources(body: str, kind: str) -> Iterator[dict[str, Any]]:
    for resource in json.loads(body)["Resources"].values():
        if resource["Type"] == kind:
            yield resource["Properties"]


def test_the_guard_is_deployed_before_what_it_guards() -> None:
    assert [stack.name for stack in synthesize(MANY)][:2] == ["bench-guard", "bench"]


def test_hosts_and_endpoints_end_before_the_foundation_they_import_from() -> None:
    assert [(item.stack, item.when) for item in appointments(MANY)] == [
        ("bench-c7i-xlarge", "HostsEndAt"),
        ("bench-inf2-xlarge", "HostsEndAt"),
        ("bench-endpoint-g6-xlarge", "HostsEndAt"),
        ("bench", "FoundationEndAt"),
        ("bench", "FoundationRetryAt"),
        ("bench", "SweepAt"),
    ]


def test_a_deployment_of_one_stack_ends_at_its_expiry() -> None:
    first, *_ = appointments(described("c7i.xlarge", guard=True))
    assert (first.stack, first.when) == ("amazonei", "HostsEndAt")


def test_the_schedules_may_delete_our_stacks_and_pass_one_role() -> None:
    body = synthesize(described("c7i.xlarge", guard=True))[0].body
    statements = {
        statement["Sid"]: statement
        for policy in resources(body, "AWS::IAM::ManagedPolicy")
        for statement in policy["PolicyDocument"]["Statement"]
        if "Sid" in statement
    }
    (stack,) = statements["DeleteOurStacks"]["Resource"][0]["Fn::Join"][1][-1:]
    assert stack == ":stack/amazonei/*"
    passing = statements["PassDeletionRole"]
    assert passing["Resource"]["Fn::GetAtt"][0].startswith("GuardDeletionRole")
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}}


def test_a_budget_is_watched_when_somebody_can_be_told() -> None:
    told = synthesize(described("c7i.xlarge", guard=True, budget=BUDGET))[0].body
    (budget,) = resources(told, "AWS::Budgets::Budget")
    assert budget["Budget"]["BudgetLimit"] == {"Amount": 5, "Unit": "USD"}
    assert budget["Budget"]["CostFilters"] == {"TagKeyValue": ["user:amazonei:deployment$amazonei"]}
    untold = synthesize(described("c7i.xlarge", guard=True, budget={"max_usd": 5}))[0].body
    assert not list(resources(untold, "AWS::Budgets::Budget"))


@pytest.mark.parametrize(
    "budget", [{"email": "me@example.org"}, {**BUDGET, "email": "me"}, {**BUDGET, "max_usd": 0}]
)
def test_a_budget_that_watches_nothing_is_refused(budget: dict[str, object]) -> None:
    with pytest.raises(BadRequest):
        described("c7i.xlarge", budget=budget)


def test_without_being_asked_for_there_is_no_guard() -> None:
    assert [stack.name for stack in synthesize(described("c7i.xlarge"))] == ["amazonei"]
