from __future__ import annotations

import dataclasses
import json
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from artifacts.errors import BadRequest
from provisioning.deployer_policy import Place, deployer_policy
from provisioning.managed_policies import LIMIT_CHARACTERS, managed_policies, size, write_policies
from stacks.synth import synthesize
from tests.stacks.specs import SPECS

if TYPE_CHECKING:
    from pathlib import Path

PLACE = Place(account="123456789012", region="us-west-2")


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _grants(*policies: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {
        (action, resource, json.dumps(statement.get("Condition"), sort_keys=True))
        for policy in policies
        for statement in policy["Statement"]
        for action, resource in product(_listed(statement["Action"]), _listed(statement["Resource"]))
    }


def _policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


@pytest.mark.parametrize("name", SPECS)
def test_the_pieces_grant_together_what_the_policy_grants_and_iam_takes_each(name: str) -> None:
    spec = dataclasses.replace(SPECS[name], guard=True)
    policy = deployer_policy(spec, synthesize(spec), PLACE)
    pieces = managed_policies(policy)
    assert _grants(*pieces) == _grants(policy)
    assert max(map(size, pieces)) <= LIMIT_CHARACTERS
    assert len(pieces) <= -(-size(policy) // LIMIT_CHARACTERS) + 1  # ten can be attached


def test_a_statement_that_fits_nowhere_is_cut_by_its_actions_and_keeps_its_condition() -> None:
    actions = [f"ec2:Do{number}" for number in range(40)]
    policy = _policy(
        {
            "Effect": "Allow",
            "Action": actions,
            "Resource": ["a", "b"],
            "Condition": {"StringEquals": {"k": "v"}},
        }
    )
    pieces = managed_policies(policy, limit=300)
    assert _grants(*pieces) == _grants(policy)
    assert len(pieces) > 1
    assert max(map(size, pieces)) <= 300


def test_an_action_that_no_policy_can_hold_is_said() -> None:
    policy = _policy({"Effect": "Allow", "Action": "ec2:X", "Resource": ["r" * 200]})
    with pytest.raises(ValueError, match="ec2:X"):
        managed_policies(policy, limit=200)


def test_files_of_a_former_answer_with_more_pieces_go_and_other_files_stay(tmp_path: Path) -> None:
    one, two = _policy({"Effect": "Allow", "Action": "a:B", "Resource": "*"}), _policy()
    (tmp_path / "mine.json").write_text("{}")
    write_policies((one, two), "shop", tmp_path)
    (path,) = write_policies((two,), "shop", tmp_path)
    assert json.loads(path.read_text()) == two
    assert sorted(each.name for each in tmp_path.iterdir()) == ["amazonei-shop-deployer-1.json", "mine.json"]


def test_a_folder_that_is_a_file_is_a_bad_request(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(BadRequest, match="cannot be written"):
        write_policies((_policy(),), "shop", tmp_path / "taken")
