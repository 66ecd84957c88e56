from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from provisioning.findings import Level
from provisioning.standing import RunIdentity, judge_standing
from tests.provisioning.declared import declare_aws
from tests.stacks.specs import described

if TYPE_CHECKING:
    from provisioning.aws.cloudformation import StackRecord

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
FRESH = RunIdentity(run_id="20261121T120000-ffffff", expires_at="2026-11-21T20:00:00Z")
FORMER = RunIdentity(run_id="20261121T090000-aaaaaa", expires_at="2026-11-21T17:00:00Z")
SPEC = described("c7i.xlarge", name="bench", ttl="8h")


def standing(
    name: str = "bench", status: str = "CREATE_COMPLETE", identity: RunIdentity = FORMER
) -> StackRecord:
    from dataclasses import replace

    record = declare_aws().cloudformation.declare_stack(name, status=status).record
    return replace(record, parameters={"RunId": identity.run_id, "ExpiresAt": identity.expires_at})


def test_a_run_lives_from_now_for_as_long_as_asked() -> None:
    made = RunIdentity.new(5400, NOON)
    assert made.expires_at == "2026-11-21T13:30:00Z"
    assert made.began == NOON
    assert made.lives_for(5400)
    assert RunIdentity.new(5400, NOON).run_id != made.run_id


def test_what_stands_keeps_its_identity() -> None:
    assert FRESH.continued([standing()], SPEC) == FORMER
    assert FRESH.continued([standing(status="UPDATE_ROLLBACK_COMPLETE")], SPEC) == FORMER


@pytest.mark.parametrize("status", ["REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "DELETE_FAILED"])
def test_what_never_stood_has_none_to_keep(status: str) -> None:
    assert FRESH.continued([standing(status=status)], SPEC) == FRESH


def test_another_time_to_live_is_another_identity() -> None:
    assert FRESH.continued([standing()], described("c7i.xlarge", name="bench", ttl="4h")) == FRESH


def test_a_stack_the_cdk_made_gives_no_identity() -> None:
    cdk = RunIdentity(run_id="cdk", expires_at="never")
    assert (cdk.began, cdk.ends) == (None, None)
    assert FRESH.continued([standing(identity=cdk)], SPEC) == FRESH
    assert FRESH.continued([standing("bench-c7i-xlarge")], SPEC) == FRESH


def test_a_stack_nobody_asks_for_any_more_is_a_warning() -> None:
    (finding,) = judge_standing(SPEC, ["bench"], [standing(), standing("bench-m5-xlarge")], NOON)
    assert (finding.level, finding.code) == (Level.WARNING, "stack-not-asked-for")
    assert "bench-m5-xlarge" in finding.message


def test_a_deployment_whose_time_is_over_must_be_removed_first() -> None:
    evening = datetime(2026, 11, 21, 17, 0, 0, tzinfo=UTC)
    (finding,) = judge_standing(SPEC, ["bench"], [standing()], evening)
    assert finding.blocks
    assert "2026-11-21 17:00 UTC" in finding.message
    assert list(judge_standing(SPEC, ["bench"], [standing()], NOON)) == []
