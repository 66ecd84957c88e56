"""How long `amazonei --help` takes beside `aws --version`, both started again and again in turn.

The promise: at most 0.35 times as long, by medians of 20 runs. Run by `make bench`.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 20
PROMISED = 0.35
BIN = Path(sys.executable).parent
OURS = (str(BIN / "amazonei"), "--help")
PEER = (str(BIN / "aws"), "--version")


def seconds(command: tuple[str, ...]) -> float:
    """Return how long the command takes from its start to its end."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def measure(runs: int = RUNS) -> tuple[list[float], list[float]]:
    """Return the times of our command and of the peer, taken in turn so that the machine's load is shared."""
    for command in (OURS, PEER):
        seconds(command)  # once unmeasured: byte code is written, files are in the page cache
    pairs = [(seconds(OURS), seconds(PEER)) for _ in range(runs)]
    return [ours for ours, _ in pairs], [peer for _, peer in pairs]


def _shown(times: list[float]) -> str:
    return f"median {statistics.median(times) * 1000:6.1f} ms  (best {min(times) * 1000:.1f})"


def main() -> int:
    """Print both medians and their ratio; return 0 when the promise is kept."""
    ours, peer = measure()
    ratio = statistics.median(ours) / statistics.median(peer)
    version = subprocess.run(PEER, check=True, capture_output=True, text=True).stdout.split()[0]
    where = f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    lines = [
        f"{RUNS} runs each, in turn; {where}",
        f"amazonei --help  {_shown(ours)}",
        f"aws --version    {_shown(peer)}  {version}",
        f"ratio {ratio:.2f}, promised at most {PROMISED}: {'kept' if ratio <= PROMISED else 'BROKEN'}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if ratio <= PROMISED else 1


if __name__ == "__main__":
    sys.exit(main())
