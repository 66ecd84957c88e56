from __future__ import annotations

from dataclasses import replace

import pytest

from artifacts.measure.protocol import Mode, Protocol
from provisioning.benchmarking import longest_s
from provisioning.budget import ALLOWANCE_S, check_budget, longest_run_s
from provisioning.errors import PreflightFailed
from provisioning.findings import Finding, Level
from provisioning.plan import SetupPlan
from provisioning.pricing import CostItem
from tests.stacks.specs import described

QUICK = Protocol(mode=Mode.QUICK)
ITEM = CostItem(
    label="host", quantity=1, unit="hour", unit_price=2.0, hourly=2.0, basis="test", source="test"
)
PLAN = SetupPlan(
    spec=described("c7i.xlarge", "inf2.xlarge"),
    run_id="r",
    attempt="r",
    expires_at="never",
    steps=(),
    items=(ITEM,),
    findings=(Finding(level=Level.WARNING, code="w", message="w", remedy="w"),),
    endpoints=(),
    nat_gateway=None,
)


def test_every_target_is_measured_to_its_bound() -> None:
    assert longest_run_s(PLAN, QUICK) == ALLOWANCE_S + 2 * longest_s(QUICK)
    one = replace(PLAN, spec=described("c7i.xlarge"))
    assert longest_run_s(PLAN, QUICK) - longest_run_s(one, QUICK) == pytest.approx(longest_s(QUICK))


def test_a_longer_protocol_and_longer_points_take_longer() -> None:
    assert longest_s(QUICK) < longest_s(Protocol(mode=Mode.STANDARD)) < longest_s(Protocol(mode=Mode.MLPERF))
    points = QUICK.settings.probes + 3
    assert longest_s(replace(QUICK, duration_s=60)) - longest_s(replace(QUICK, duration_s=50)) == 10 * points


def test_without_a_limit_anything_goes() -> None:
    check_budget(PLAN, QUICK, None)


def test_the_limit_is_the_most_the_run_can_cost() -> None:
    most = 2.0 * longest_run_s(PLAN, QUICK) / 3600
    check_budget(PLAN, QUICK, most)
    with pytest.raises(PreflightFailed) as caught:
        check_budget(PLAN, QUICK, most - 0.01)
    assert f"could cost ${most:.2f}" in caught.value.message
    assert "--budget" in caught.value.message
    assert [finding.code for finding in caught.value.findings] == ["w", "over-budget"]
