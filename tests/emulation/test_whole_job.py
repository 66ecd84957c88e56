"""`amazonei run`: the job in one command, to its end and to an end it was not meant to have."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

from tests.emulation.laptop import EXAMPLES, REGION, processes_with

if TYPE_CHECKING:
    from tests.emulation.laptop import Finished, Laptop

DIGITS = f"{EXAMPLES / 'digits.py'}:digit_classifier"
IMAGE = "image=float32[1,1,8,8]:0..1"

# Many processes, on a machine that may be busy.
pytestmark = pytest.mark.timeout(600)


def nothing_is_left(laptop: Laptop, name: str) -> bool:
    audit = laptop.amazonei("audit", "--emulate", "--name", name, "--output", "json")
    return audit.code == 0 and audit.document["left"] == []


def test_two_targets_are_ranked_reported_and_removed(laptop: Laptop) -> None:
    job = laptop.write_job("digits", "c7i.xlarge", "inf2.xlarge", source=DIGITS, spec=IMAGE)

    done = laptop.amazonei("run", "--emulate", job, "--output", "json").ok()

    answer = done.document
    assert (answer["deployment"], answer["emulated"]) == ("digits", True)
    assert answer["teardown"] == {"verified": True, "left": []}
    assert {target["accelerator"] for target in answer["targets"]} == {"c7i.xlarge", "inf2.xlarge"}
    for target in answer["targets"]:
        assert target["emulated"] is True
        assert target["parity"]["passed"] is True
        assert {"p50", "p90", "p99", "n", "confidence"} <= set(target["latency_ms"])
        assert {"at_peak", "at_traffic", "price_basis", "as_of"} <= set(target["cost_per_million"] or {})
        assert {"lane", "throughput_rps", "slo", "rank", "tie_with"} <= set(target)
    report = (laptop.folder / answer["report"]).read_text()
    assert "inf2.xlarge" in report
    assert "mulated" in report
    assert nothing_is_left(laptop, "digits")


@pytest.mark.nightly
def test_what_was_measured_before_the_kill_is_not_measured_again(laptop: Laptop) -> None:
    job = laptop.write_job("long", "c7i.xlarge", "m5.xlarge", load='mode = "quick"')
    killed(laptop, "measuring m5.xlarge", "amazonei", "run", "--emulate", job)
    again = laptop.amazonei("run", "--emulate", "--resume", job).ok()
    assert "measuring m5.xlarge" in again.err
    assert "measuring c7i.xlarge" not in again.err
    assert "c7i.xlarge" in again.out
    assert nothing_is_left(laptop, "long")


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGINT, "compiling"),
        (signal.SIGTERM, "setting up"),
        (signal.SIGINT, "measuring"),
    ],
)
def test_an_interrupted_job_removes_what_it_made(laptop: Laptop, number: signal.Signals, moment: str) -> None:
    job = laptop.write_job("stopped", "c7i.xlarge", duration=60)
    ended = laptop.interrupt(number, f"{moment} ", "amazonei", "run", "--emulate", job)
    assert ended.code == 75, ended.err
    assert "Traceback" not in ended.err
    assert f"--resume {job}" in ended.err
    assert nothing_is_left(laptop, "stopped")
    assert processes_with(f"XDG_STATE_HOME={laptop.folder}") == []  # whatever was typed here has ended


def killed(laptop: Laptop, words: str, *argv: str) -> Finished:
    return laptop.interrupt(signal.SIGKILL, words, *argv)


def test_a_setup_that_was_killed_can_be_removed_by_its_name_alone(laptop: Laptop) -> None:
    laptop.write_job("shot", "c7i.xlarge")
    killed(laptop, "setting up", "amazonei", "setup", "--emulate", "--yes", "--config", "shot.toml")
    elsewhere = laptop.folder / "elsewhere"
    elsewhere.mkdir()
    laptop.amazonei("teardown", "--emulate", "--name", "shot", "--yes", where=elsewhere).ok()
    assert nothing_is_left(laptop, "shot")


def test_the_work_goes_on_when_nobody_reads_its_progress_any_more(laptop: Laptop) -> None:
    # The reader takes one line and goes, as `head -1` does.
    wanted = "--emulate --yes --name unread --accelerator c7i.xlarge --output json"
    laptop.type("sh", "-c", f"amazonei setup {wanted} 2>&1 >answer.json | head -1").ok()
    assert json.loads((laptop.folder / "answer.json").read_text())["changed"] is True
    laptop.amazonei("teardown", "--emulate", "--name", "unread", "--yes").ok()
    assert nothing_is_left(laptop, "unread")


@pytest.mark.nightly
def test_jobs_share_their_races_through_a_bucket_that_teardown_leaves_alone(laptop: Laptop) -> None:
    job = laptop.write_job("sharing", "c7i.xlarge")
    laptop.amazonei("emulator", "start").ok()
    keys = laptop.keys()
    place = ("--create-bucket-configuration", f"LocationConstraint={REGION}")
    laptop.type("aws", "s3api", "create-bucket", "--bucket", "races", *place, env=keys).ok()
    lanes = []
    for machine, found in (("one", False), ("two", True)):
        cache = {"XDG_CACHE_HOME": str(laptop.folder / machine)}
        run = ("run", "--emulate", job, "--cache-bucket", "races/team", "--output", "json")
        done = laptop.amazonei(*run, env=cache).ok()
        assert ("sending the race to s3://races/team/" in done.err) is not found
        assert ("raced before" in done.err) is found
        lanes += [target["lane"] for target in done.document["targets"]]
    assert lanes[0] == lanes[1]
    assert nothing_is_left(laptop, "sharing")
    listing = ("s3api", "list-objects-v2", "--bucket", "races", "--query", "Contents[].Key")
    held = json.loads(laptop.type("aws", *listing, "--output", "json", env=keys).ok().out)
    assert [name for name in held if name.endswith("/entry.json")]
    assert all(name.startswith("team/") for name in held)


@pytest.mark.nightly
def test_a_job_goes_on_without_a_bucket_that_is_not_there(laptop: Laptop) -> None:
    job = laptop.write_job("alone", "c7i.xlarge")
    cache = {"XDG_CACHE_HOME": str(laptop.folder / "alone-cache")}
    done = laptop.amazonei("run", "--emulate", job, "--cache-bucket", "nowhere-at-all", env=cache).ok()
    assert done.err.count("The shared cache s3://nowhere-at-all/ was left alone") == 1
    assert "c7i.xlarge" in done.out
    assert nothing_is_left(laptop, "alone")


@pytest.mark.nightly
def test_two_deployments_stand_side_by_side(laptop: Laptop) -> None:
    laptop.amazonei("setup", "--emulate", "--yes", "--name", "left", "--accelerator", "c7i.xlarge").ok()
    laptop.amazonei("setup", "--emulate", "--yes", "--name", "right", "--accelerator", "c7i.xlarge").ok()
    laptop.amazonei("teardown", "--emulate", "--yes", "--name", "left").ok()
    assert nothing_is_left(laptop, "left")
    standing = laptop.amazonei("status", "--emulate", "--name", "right", "--output", "json").document
    assert [item["state"] for item in standing["items"] if item["kind"].startswith("host")] == ["running"]
    laptop.amazonei("teardown", "--emulate", "--yes", "--name", "right").ok()
