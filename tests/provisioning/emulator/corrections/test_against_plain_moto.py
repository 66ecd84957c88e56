"""Each correction is needed: plain moto answers otherwise, and the corrected one as AWS does."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("moto_answers.py")
ASK: dict[str, Any] = {each.__name__: each for each in runpy.run_path(str(SCRIPT))["QUESTIONS"]}

# What AWS answers; the statement and its source stand in the correction.
AWS_ANSWERS = {
    "failed_creation": "accepted ROLLBACK_COMPLETE",
    "non_empty_bucket": "accepted",
    "protected_stack": "ValidationError",
    "retained_except_on_create": "accepted",
    "unknown_type": "ValidationError",
    "unknown_property": "ValidationError",
    "missing_ssm_parameter": "ValidationError",
    "identity_without_capability": "InsufficientCapabilitiesException",
    "change_set_of_one_name_on_two_stacks": "CREATE_COMPLETE",
    "zones_of_the_region": "us-west-2a",
    "declared_egress": "10.0.0.0/8",
    "bucket_versioning": "Enabled",
    "network_dns": "True",
    "deleted_endpoint": "InvalidVpcEndpointId.NotFound",
    "unknown_endpoint_service": "InvalidServiceName",
    "endpoint_twice_in_a_zone": "DuplicateSubnetsInSameZone",
    "group_in_use": "DependencyViolation",
    "subnet_in_use": "DependencyViolation",
    "endpoint_service_filter": "accepted",
    "wrong_digest": "BadDigest",
    "inf2_endpoint": "accepted",
}


@pytest.fixture(scope="module")
def plain() -> dict[str, str]:
    told = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, check=True)
    answers: dict[str, str] = json.loads(told.stdout)
    return answers


@pytest.mark.parametrize("question", ASK)
def test_the_corrected_moto_answers_as_aws_does(account: Any, question: str) -> None:
    assert ASK[question]() == AWS_ANSWERS[question]


@pytest.mark.parametrize("question", ASK)
def test_plain_moto_answers_otherwise(plain: dict[str, str], question: str) -> None:
    assert plain[question] != AWS_ANSWERS[question]
