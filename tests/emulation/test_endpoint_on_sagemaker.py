"""An artifact shipped to a SageMaker endpoint: served, updated, failing with its log, and gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.emulation.laptop import REGION
from tests.emulation.test_ship_and_serve import repacked, wrong_golden

if TYPE_CHECKING:
    from pathlib import Path

    from tests.emulation.laptop import Finished, Laptop

# Each part of the way has tests of its own: tests/artifacts/serve/test_sagemaker_package.py,
# tests/provisioning/emulator/test_emulated_endpoints.py and tests/provisioning/test_endpoints.py.
pytestmark = pytest.mark.nightly

CONFIG = """
name = "served"
region = "us-west-2"
[[targets]]
accelerator = "c7i.xlarge"
[[endpoints]]
accelerator = "c7i.xlarge"
"""
EM = ("--emulate", "--region", REGION, "--output", "json", "--config", "served.toml")


def shipped(laptop: Laptop, artifact: Path, *more: str) -> Finished:
    return laptop.amazonei("ship", str(artifact), "--to", "sagemaker", "--yes", *EM, *more)


def test_an_endpoint_serves_what_is_shipped_and_tells_why_it_does_not(laptop: Laptop) -> None:
    laptop.write_job("unused", "c7i.xlarge")
    (laptop.folder / "served.toml").write_text(CONFIG)
    laptop.amazonei("setup", "--yes", *EM).ok()
    good = laptop.compiled(0.5)
    broken = repacked(good, laptop.folder / "broken", wrong_golden)
    stacks = laptop.account()["cloudformation describe_stacks"]

    failed = shipped(laptop, broken)
    assert failed.code == 5
    error = failed.document["error"]
    assert error["code"] == "endpoint-failed"
    assert "did not pass the ping health check" in error["message"]
    assert "Golden request 0 was answered wrongly" in error["message"]  # the container's own log
    assert laptop.account()["cloudformation describe_stacks"] == stacks

    assert shipped(laptop, good).ok().document["changed"] is True
    asked = ("invoke", "--to", "sagemaker", "--input-file", "-", *EM)
    answer = laptop.amazonei(*asked, stdin='{"inputs": {"x": [[2, 4, 6, 8]]}}').ok().document
    assert list(answer["outputs"].values()) == [[[1.0, 2.0, 3.0, 4.0]]]
    wrong = laptop.amazonei(*asked, stdin='{"inputs": {"x": [[2, 4]]}}')
    assert (wrong.code, "expected x=float32[1,4]" in wrong.document["error"]["message"]) == (2, True)
    assert shipped(laptop, good).ok().document["changed"] is False
    again = shipped(laptop, good, "--resend").ok().document
    assert (again["changed"], "unless it is there" in again["steps"][0]) == (True, False)

    failed = shipped(laptop, broken)
    assert failed.code == 5
    assert "Golden request 0 was answered wrongly" in failed.document["error"]["message"]
    assert failed.document["error"]["hint"] == "The version from before serves on."
    assert laptop.amazonei(*asked, stdin='{"inputs": {"x": [[2, 4, 6, 8]]}}').ok().document["outputs"]

    items = laptop.amazonei("status", *EM).ok().document["items"]
    assert ("served-c7i-xlarge", "InService") in {(item["id"], item["state"]) for item in items}


def test_teardown_leaves_nothing_of_an_endpoint(laptop: Laptop) -> None:
    assert laptop.account()["sagemaker list_endpoints"] == ["served-c7i-xlarge"]
    laptop.amazonei("teardown", "--yes", *EM).ok()
    # What an account has from the start is left out: the default network.
    left = {
        words: found
        for words, found in laptop.account().items()
        if found and not words.startswith("ec2 ") and words != "ssm describe_parameters"
    }
    assert left == {}
    assert laptop.amazonei("audit", *EM).ok().document["left"] == []
