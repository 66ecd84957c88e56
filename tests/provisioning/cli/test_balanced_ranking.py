"""A load balancer that the configuration asks for is part of what a million inferences cost."""

from __future__ import annotations

import pytest

from provisioning.cli.measuring import is_balanced, rank_results
from tests.provisioning.measured import a_target, peaking, results_of


def test_a_balancer_is_paid_for_by_the_ranking() -> None:
    measured = results_of(a_target("c7i.xlarge", peaking(10.0)))
    plain, balanced = (rank_results(measured, None, balanced=each).rows[0].cost for each in (False, True))
    assert plain is not None
    assert balanced is not None
    assert balanced.hourly - plain.hourly == pytest.approx(0.0225 + 0.008)


@pytest.mark.parametrize(
    ("document", "balanced"),
    [
        ({}, False),
        ({"targets": [{"accelerator": "c7i.xlarge"}]}, False),
        ({"targets": [{"accelerator": "c7i.xlarge"}, {"certificate": "arn:..."}]}, True),
    ],
)
def test_a_certificate_says_that_there_is_one(document: dict[str, object], balanced: bool) -> None:
    assert is_balanced(document) is balanced
