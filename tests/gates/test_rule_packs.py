"""The rule packs over the whole catalogue. Run by `make check`: they need .venv-gates."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.gates import packs
from tests.gates.catalogue import HOME, examples

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.gates.packs import Finding

pytestmark = [pytest.mark.gates, pytest.mark.timeout(1800)]

ACKNOWLEDGED: list[dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("acknowledged.toml").read_text(encoding="utf-8")
)["acknowledged"]


@pytest.fixture(scope="session")
def findings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Finding, ...]:
    everywhere, at_home = tmp_path_factory.mktemp("everywhere"), tmp_path_factory.mktemp("home")
    for example in examples():
        (everywhere / f"{example.name}.json").write_text(example.body, encoding="utf-8")
        if HOME in example.regions:
            (at_home / f"{example.name}.json").write_text(example.body, encoding="utf-8")
    regions = {example.name: example.regions for example in examples()}
    return (
        *packs.cfn_lint(everywhere, regions),
        *packs.own_rules(everywhere),
        *packs.cdk_nag(at_home),
        *packs.checkov(at_home),
        *packs.cfn_guard(at_home),
    )


def test_every_finding_is_acknowledged_once(findings: tuple[Finding, ...]) -> None:
    unexplained = [found for found in findings if len(_rows_for(found)) != 1]
    assert unexplained == []


def test_every_acknowledgement_is_about_findings_that_are_there(findings: tuple[Finding, ...]) -> None:
    seen = Counter(_rule(found) for found in findings)
    for row in ACKNOWLEDGED:
        assert [rule for rule in row["rules"] if not seen[rule]] == [], row["finding"]
        assert len(row["reason"]) > 60
    names = [rule for row in ACKNOWLEDGED for rule in row["rules"]]
    assert len(names) == len(set(names)), "one rule, one acknowledgement"


def test_every_acknowledgement_silences_the_types_that_it_names(
    findings: tuple[Finding, ...],
) -> None:
    for row in ACKNOWLEDGED:
        silenced = [found for found in findings if _rule(found) in row["rules"]]
        assert {_kind(found, row) for found in silenced} == _types(row), row["finding"]


def test_there_are_at_most_ten_acknowledgements() -> None:
    assert len(ACKNOWLEDGED) <= 10


def _rows_for(found: Finding) -> list[dict[str, Any]]:
    return [row for row in ACKNOWLEDGED if _rule(found) in row["rules"] and _kind(found, row) in _types(row)]


def _types(row: Mapping[str, Any]) -> set[str]:
    return {row["type"]} if isinstance(row["type"], str) else set(row["type"])


def _rule(found: Finding) -> str:
    return found.rule.partition("[")[0]  # cdk-nag appends the very resource to IAM5


def _kind(found: Finding, row: Mapping[str, Any]) -> str:
    template = json.loads(_bodies()[found.template])
    resource = template["Resources"].get(found.resource, {"Type": ""})
    if row["type"] == "IAM" and resource["Type"] in {"AWS::IAM::Role", "AWS::IAM::ManagedPolicy"}:
        return "IAM"
    return str(resource["Type"])


def _bodies() -> Mapping[str, str]:
    return {example.name: example.body for example in examples()}
