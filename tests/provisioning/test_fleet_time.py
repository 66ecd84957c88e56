from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from provisioning.shipping import Package, ship
from tests.provisioning.fleet import run_fleet

if TYPE_CHECKING:
    from pathlib import Path

WAVE = 50


@pytest.fixture
def package(tmp_path: Path) -> Package:
    path = tmp_path / "model.aei"
    path.write_bytes(b"model")
    return Package(
        path=path,
        size=5,
        digest="d" * 64,
        accelerator="c7i.xlarge",
        name="net",
        lane="trace",
    )


@pytest.mark.parametrize("spread", [0.0, 0.5])
@pytest.mark.parametrize(("hosts", "host_s"), [(1, 30.0), (50, 60.0), (120, 60.0), (500, 30.0)])
def test_a_fleet_takes_the_time_of_its_waves_and_little_more(
    hosts: int, host_s: float, spread: float, package: Package
) -> None:
    run = run_fleet(hosts, host_s, lambda world: ship(world.calls, package), spread)
    assert run.wave == WAVE
    assert run.busiest == min(hosts, WAVE)
    assert run.ratio <= 1.1
    if not spread:
        assert run.wall_s > run.bound_s  # the double takes its time, else the bound would show nothing


@pytest.mark.parametrize("hosts", [50, 500])
def test_each_look_at_a_fleet_takes_one_call_for_fifty_hosts(hosts: int, package: Package) -> None:
    run = run_fleet(hosts, 60.0, lambda world: ship(world.calls, package))
    pages = hosts // 50
    assert run.calls["SendCommand"] == 1
    assert run.calls["DescribeInstanceInformation"] == pages
    assert run.calls["ListCommandInvocations"] == (run.looks + 1) * pages  # the last one reads the outputs
    assert set(run.calls) == {"SendCommand", "DescribeInstanceInformation", "ListCommandInvocations"}
