from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from provisioning.aws import Credentials, connect
from provisioning.emulator import service
from provisioning.guarding import guard_times
from tests.stacks.jsii_packages import KEPT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provisioning.emulator.state import Running

REGION = "us-west-2"


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Running]:
    yield service.start(tmp_path / "emulator", registration_delay_s=0.2)
    service.stop(tmp_path / "emulator")


def test_the_times_are_in_order_and_the_sweep_comes_after_the_lifecycle() -> None:
    assert guard_times(datetime(2026, 11, 21, 18, tzinfo=UTC), ttl_s=8 * 3600) == {
        "HostsEndAt": "2026-11-21T18:00:00",
        "FoundationEndAt": "2026-11-21T18:30:00",
        "FoundationRetryAt": "2026-11-21T21:00:00",
        "SweepAt": "2026-12-03T18:00:00",
    }


@pytest.mark.timeout(240)
def test_an_expired_deployment_goes_without_any_client(emulator: Running, tmp_path: Path) -> None:
    keys = Credentials(access_key=emulator.access_key, secret_key=emulator.secret_key)
    aws = connect(REGION, endpoint_url=emulator.endpoint_url, credentials=keys)
    amazonei(emulator, tmp_path, "setup", "--accelerator", "c7i.xlarge", "--accelerator", "m5.large", "--yes")
    assert names(aws) == {"left", "left-guard", "left-c7i-xlarge", "left-m5-large"}
    service.advance(emulator.state_dir, 3600 + 60)
    await_names(aws, {"left", "left-guard"})
    service.advance(emulator.state_dir, 3600 + 31 * 60)
    await_names(aws, {"left-guard"})
    assert aws.ec2.instances({"amazonei:deployment": "left"}) == ()
    amazonei(emulator, tmp_path, "teardown", "--yes")
    assert names(aws) == set()


def amazonei(emulator: Running, home: Path, command: str, *words: str) -> None:
    ttl = ("--ttl", "1h") if command == "setup" else ()
    done = subprocess.run(
        [Path(sys.executable).with_name("amazonei"), command, "--name", "left", *ttl, *words],
        env={**os.environ, **service.environment(emulator, REGION), **KEPT, "HOME": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def names(aws: object) -> set[str]:
    return {stack.name for stack in aws.cloudformation.list_stacks_of("left")}  # type: ignore[attr-defined]


def await_names(aws: object, wanted: set[str]) -> None:
    deadline = time.monotonic() + 60
    while names(aws) != wanted:
        assert time.monotonic() < deadline, names(aws)
        time.sleep(0.1)
