"""A host that a group adds, or brings in the place of a lost one, serves what the others serve by itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.emulation.laptop import REGION
from tests.provisioning.emulator.emulated import eventually

if TYPE_CHECKING:
    from tests.emulation.laptop import Laptop

EM = ("--emulate", "--region", REGION)

# Five hosts and two versions. What a boot does with them one by one: tests/stacks/test_boot_script.py.
pytestmark = [pytest.mark.nightly, pytest.mark.timeout(900)]


def of_group(laptop: Laptop, *words: str) -> Any:
    answer = laptop.type("aws", "autoscaling", *words, "--output", "json", env=laptop.keys()).ok().out
    return json.loads(answer) if answer.strip() else None


def serving(laptop: Laptop) -> dict[str, str | None]:
    """Return which artifact each host serves; none is told while a host is not there yet."""
    shown = laptop.amazonei("status", *EM, "--hosts", "--output", "json").document
    served = {each["id"]: each["serving"] for each in shown["hosts"]}
    return {host: version["digest"] if version else None for host, version in served.items()}


def test_hosts_that_come_later_serve_the_current_version_and_can_go_back(laptop: Laptop) -> None:
    laptop.write_job("heal", "c7i.xlarge")
    group = laptop.amazonei(
        "setup", *EM, "--accelerator", "c7i.xlarge", "--count", "2", "--yes", "--output", "json"
    ).ok().document["outputs"]["HostGroup"]  # fmt: skip
    first, second = laptop.compiled(0.5), laptop.compiled(3.0)
    for artifact in (first, second):
        laptop.amazonei("ship", str(artifact), *EM).ok()
    before = serving(laptop)
    assert len(before) == 2
    (digest,) = set(before.values())

    size = ("--max-size", "3", "--desired-capacity", "3")
    of_group(laptop, "update-auto-scaling-group", "--auto-scaling-group-name", group, *size)
    eventually(lambda: list(serving(laptop).values()) == [digest] * 3, within_s=240)

    (lost, _) = before
    of_group(
        laptop, "terminate-instance-in-auto-scaling-group", "--instance-id", lost,
        "--no-should-decrement-desired-capacity",
    )  # fmt: skip
    eventually(
        lambda: lost not in (found := serving(laptop)) and list(found.values()) == [digest] * 3, within_s=240
    )

    laptop.amazonei("ship", "--rollback", *EM).ok()
    (back,) = set(serving(laptop).values())
    assert back != digest
    laptop.amazonei("teardown", *EM, "--yes").ok()
