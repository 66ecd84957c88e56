"""The job in single commands, each a process of its own, and nothing left of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.emulation.laptop import REGION, processes_with

if TYPE_CHECKING:
    from tests.emulation.laptop import Laptop

# Many processes, on a machine that may be busy.
pytestmark = pytest.mark.timeout(600)


def test_the_sequence_serves_a_model_and_leaves_the_account_as_it_was(laptop: Laptop) -> None:
    laptop.write_job("steps", "c7i.xlarge")
    here = ("--emulate", "--region", REGION, "--accelerator", "c7i.xlarge")
    laptop.amazonei("emulator", "start").ok()
    before = laptop.account()

    setup = laptop.type("amazonei-setup", *here, "--yes", "--output", "json").ok().document
    assert (setup["emulated"], setup["changed"]) == (True, True)
    host = setup["outputs"]["InstanceIds"]
    assert processes_with(host) == []  # nothing is served yet

    again = laptop.type("amazonei-setup", *here, "--yes")
    assert "nothing was changed" in again.ok().out
    assert "COMPLETE" not in again.err  # not one resource was touched

    model = ("model.py:halve", "--input", "x=float32[2,4]", "--target", "c7i.xlarge", "--lanes", "quick")
    compiled = laptop.amazonei("compile", *model, "--output", "json").ok().document
    assert compiled["parity"]["passed"] is True
    shipped = laptop.amazonei("ship", compiled["artifact"], "--emulate", "--output", "json").ok().document
    assert list(shipped["hosts"]) == [host]
    assert processes_with(host) != []

    request = json.dumps({"inputs": {"x": [[2.0, 4.0, 6.0, 8.0], [1.0, 0.0, -1.0, 3.0]]}})
    answer = laptop.amazonei("invoke", "--emulate", "--input-file", "-", stdin=request).ok().document
    assert list(answer["outputs"].values()) == [[[1.0, 2.0, 3.0, 4.0], [0.5, 0.0, -0.5, 1.5]]]
    assert answer["emulated"] is True

    measured = laptop.amazonei(
        "benchmark", "--emulate", "--rate", "20", "--duration", "1", "--output", "json"
    ).ok().document  # fmt: skip
    assert [target["emulated"] for target in measured["targets"]] == [True]

    status = laptop.amazonei("status", "--emulate", "--output", "json").ok().document
    assert {"kind": "host c7i.xlarge", "id": host, "state": "running"} in status["items"]
    assert status["hourly_usd"] == pytest.approx(0.229459)
    assert 7 * 3600 < status["seconds_left"] <= 8 * 3600

    shown = laptop.type("sh", "-c", 'eval "$(amazonei emulator env)" && aws ec2 describe-instances').ok()
    assert host in shown.out

    left = laptop.amazonei("audit", "--emulate", "--output", "json")
    assert left.code == 6
    assert host in {thing["id"] for thing in left.document["left"]}
    assert left.document["error"]["code"] == "left-behind"

    laptop.amazonei("teardown", "--emulate", "--yes").ok()
    assert processes_with(host) == []
    laptop.amazonei("audit", "--emulate").ok()
    assert laptop.account() == before


def test_a_retired_accelerator_is_provisioned_on_the_embedded_aws_only(laptop: Laptop) -> None:
    wanted = ("--accelerator", "eia2.medium", "--emulate", "--yes", "--name", "old")
    refused = laptop.amazonei("setup", *wanted)
    assert refused.code == 2
    assert "--emulate --allow-retired" in refused.err

    laptop.amazonei("setup", *wanted, "--allow-retired").ok()
    hosts = laptop.type("aws", "ec2", "describe-instances", "--output", "json", "--query",
                        "Reservations[].Instances[?State.Name=='running'][].InstanceType",
                        env=laptop.keys()).ok()  # fmt: skip
    assert json.loads(hosts.out) == ["m5.xlarge"]  # what the accelerator hangs on
    laptop.amazonei("teardown", "--emulate", "--name", "old", "--yes").ok()


@pytest.mark.nightly
def test_a_retired_accelerator_is_served_by_a_stand_in_that_says_so(laptop: Laptop) -> None:
    job = laptop.write_job("older", "eia2.medium")
    run = ("run", job, "--emulate", "--allow-retired", "--keep", "--output", "json")
    (target,) = laptop.amazonei(*run).ok().document["targets"]
    assert (target["accelerator"], target["emulated"]) == ("eia2.medium", True)
    assert "stand-in" in target["lane"]
    reply = laptop.amazonei("invoke", "--config", job, "--emulate", "--random").ok().document
    assert reply["accelerator"] == "eia2.medium"
    laptop.amazonei("teardown", "--config", job, "--emulate", "--yes").ok()
    laptop.amazonei("audit", "--config", job, "--emulate").ok()
