"""How long shipping to a fleet takes, and how many calls, against the bound of its waves; in simulated time.

    python -m tests.bench.fleet

The hosts and Systems Manager are a double with AWS's documented behaviour (`tests.provisioning.fleet`); the
waiting, the calls and their number are ours. Nothing here says how fast AWS itself is.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from provisioning.shipping import Package, ship
from tests.provisioning.fleet import CALL_S, FleetRun, run_fleet

PROMISED = 1.1
HOST_S = (30.0, 60.0, 300.0)


def line(run: FleetRun) -> str:
    """Return one run as a person reads it."""
    calls = sum(run.calls.values())
    return (
        f"{run.hosts:4} hosts of {run.host_s:3.0f} s, {run.wave} at once: {run.wall_s:7.1f} s, "
        f"{run.ratio:.3f} of the bound; {run.calls['SendCommand']} SendCommand, {run.looks} looks, "
        f"{calls} calls in all"
    )


def main() -> int:
    """Print the figures; return 0 when the promise is kept everywhere."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.aei"
        path.write_bytes(b"model")
        package = Package(
            path=path,
            size=5,
            digest="d" * 64,
            accelerator="c7i.xlarge",
            name="net",
            lane="trace",
        )
        runs = [
            run_fleet(hosts, host_s, lambda world: ship(world.calls, package))
            for host_s in HOST_S
            for hosts in (1, 50, 500)
        ]
    worst = max(run.ratio for run in runs)
    verdict = "kept" if worst <= PROMISED else "BROKEN"
    text = [f"simulated time; a call takes {CALL_S} s", *map(line, runs)]
    text.append(f"worst {worst:.3f} of ceil(hosts/wave) x per-host time, promised {PROMISED}: {verdict}")
    sys.stdout.write("\n".join(text) + "\n")
    return 0 if worst <= PROMISED else 1


if __name__ == "__main__":
    sys.exit(main())
