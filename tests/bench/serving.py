"""What our server adds to a bare call, and what it carries beside mosec's own echo, in the same run.

    python -m tests.bench.serving [ROUNDS [SECONDS]]

All servers stay up; rounds go through them in turn, and medians are compared. The load comes from wrk
(https://github.com/wg/wrk), which is written in C: a generator in Python would be the bottleneck.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts.serve.client import Client
from artifacts.serve.routes import ROUTE, mosec_options
from tests.bench.servers import BATCH, DEVICE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "127.0.0.1"
FIRST_PORT = 18080
ROUNDS, SECONDS = 5, 3.0
CONCURRENCY = 32
BARE_CALLS = 2000
ADDED_MS, ECHO_SHARE, DEVICE_SHARE = 0.3, 0.95, 0.90
IDEAL_RPS = BATCH / DEVICE_S
_SCRIPT = """\
local file = io.open(os.getenv("BODY"), "rb")
wrk.method = "POST"
wrk.body = file:read("*a")
"""
_UNITS_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True, slots=True)
class Run:
    """One run of load."""

    rps: float
    p50_ms: float


@dataclass(frozen=True, slots=True)
class Bench:
    """What a run of load needs."""

    directory: Path
    seconds: float

    def load(self, port: int, body: str, concurrency: int) -> Run:
        """Put load on a server; raises RuntimeError when an answer was not 200."""
        command = ["wrk", "-t1", f"-c{concurrency}", f"-d{self.seconds:g}s", "--latency"]
        command += ["-s", str(self.directory / "post.lua"), f"http://{ADDRESS}:{port}{ROUTE}"]
        environment = os.environ | {"BODY": str(self.directory / body)}
        text = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
        if "Non-2xx" in text or "Socket errors" in text:
            raise RuntimeError(text)
        median = re.search(r"50%\s+([0-9.]+)(us|ms|s)", text)
        rate = re.search(r"Requests/sec:\s+([0-9.]+)", text)
        if median is None or rate is None:
            raise RuntimeError(text)
        return Run(float(rate[1]), float(median[1]) * _UNITS_MS[median[2]])


@contextmanager
def serving(command: list[str], port: int) -> Iterator[int]:
    """Run a server until the block ends; yields its port once it answers."""
    words = [sys.executable, "-m", *command, *mosec_options(ADDRESS, port)]
    process = subprocess.Popen(words, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not Client(ADDRESS, port).healthy():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start")
            time.sleep(0.1)
        yield port
    finally:
        # mosec waits for requests whose client left, which are never answered: there is nothing to wait for.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def make_version(directory: Path) -> Path:
    """Compile a small model and unpack it as a host does; returns the version's directory."""
    from contextlib import closing

    from artifacts.archive import open_verified
    from artifacts.compile.pipeline import compile_model
    from artifacts.compile.request import CompileRequest, Method

    request = CompileRequest(
        model=f"{ROOT / 'tests' / 'artifacts' / 'sample_models.py'}:two_layers",
        inputs=("x=float32[1,4]",),
        target="c7i.xlarge",
        out_dir=directory / "compiled",
        method=Method.TRACE,
    )
    version = directory / "version"
    version.mkdir()
    with closing(open_verified(compile_model(request, progress=lambda _: None).artifact)) as contents:
        contents.unpack(version)
    return version


def bare_call(version: Path, directory: Path) -> Callable[[], float]:
    """Write the bodies of a request, and return what measures the model alone, in milliseconds (p50)."""
    import torch
    from safetensors import torch as safetensors

    from artifacts.serve.golden import read_golden
    from artifacts.serve.handler import load

    handler = load(version, threads=1)
    inputs = read_golden(version).inputs
    (directory / "raw").write_bytes(safetensors.save(inputs))
    document = {"inputs": {name: tensor.tolist() for name, tensor in inputs.items()}}
    (directory / "json").write_text(json.dumps(document), encoding="ascii")

    def measure() -> float:
        times = []
        with (
            torch.inference_mode()
        ):  # as the server's worker is: entering it for each call would be added to it
            for _ in range(BARE_CALLS):
                began = time.perf_counter()
                handler.predict_batch([inputs])
                times.append(time.perf_counter() - began)
        return statistics.median(times) * 1e3

    return measure


def hop() -> float:
    """Return how long a byte takes to another process and back, in ms (p50).

    A request goes to the front, to a worker and back, so it takes two of these however little is done for it.
    They are the machine's: tens of microseconds on a virtual one whose idle cores have to be woken.
    """
    echo = "import socket, sys; s = socket.socket(fileno=int(sys.argv[1]))\nwhile b := s.recv(1): s.send(b)"
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-S", "-c", echo, str(theirs.fileno())]
    with ours, subprocess.Popen(command, pass_fds=[theirs.fileno()]) as process:
        theirs.close()
        times = []
        for _ in range(BARE_CALLS):
            began = time.perf_counter()
            ours.send(b"x")
            ours.recv(1)
            times.append(time.perf_counter() - began)
        ours.close()
        process.wait()
    return statistics.median(times) * 1e3


def measure(directory: Path, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Return every figure of every round, by name; rates in requests/s, times in ms."""
    (directory / "post.lua").write_text(_SCRIPT, encoding="ascii")
    version = make_version(directory)
    bare = bare_call(version, directory)
    ours = ["artifacts.serve.server", "--version-directory", str(version), "--workers", "1"]
    kinds = ("mosec-echo", "our-echo", "mosec-echo-batched", "our-echo-batched", "mosec-device", "our-device")
    commands = {"ours": ours} | {kind: ["tests.bench.servers", kind] for kind in kinds}
    bench = Bench(directory, seconds)
    found: dict[str, list[float]] = {}
    with ExitStack() as stack:
        ports = {
            name: stack.enter_context(serving(command, FIRST_PORT + index))
            for index, (name, command) in enumerate(commands.items())
        }
        for _ in range(rounds):
            for name, value in one_round(bench, ports, bare).items():
                found.setdefault(name, []).append(value)
    return found


def one_round(bench: Bench, ports: dict[str, int], bare: Callable[[], float]) -> dict[str, float]:
    """Measure each server once."""
    found = {"bare call": bare(), "to a process and back": hop()}
    for body in ("raw", "json"):
        found[f"ours c=1 {body}"] = bench.load(ports["ours"], body, 1).p50_ms
        found[f"ours c={CONCURRENCY} {body}"] = bench.load(ports["ours"], body, CONCURRENCY).rps
    for name in ("mosec-echo", "our-echo"):
        found[f"{name} c=1"] = bench.load(ports[name], "json", 1).p50_ms
    for name in ("mosec-echo", "our-echo", "mosec-echo-batched", "our-echo-batched"):
        found[name] = bench.load(ports[name], "json", CONCURRENCY).rps
    for name in ("mosec-device", "our-device"):
        found[f"{name} c=1"] = bench.load(ports[name], "json", 1).p50_ms
        found[name] = bench.load(ports[name], "json", CONCURRENCY).rps
    return found


def lines(found: dict[str, list[float]]) -> tuple[list[str], bool]:
    """Return the medians as a person reads them, and whether every promise is kept."""
    medians = {name: statistics.median(values) for name, values in found.items()}
    text = [f"{name:22} {value:10.3f}  {_unit(name)}" for name, value in medians.items()]
    added = medians["ours c=1 raw"] - medians["bare call"]
    echo = medians["our-echo"] / medians["mosec-echo"]
    device = medians["our-device"] / IDEAL_RPS
    kept = (added <= ADDED_MS, echo >= ECHO_SHARE, device >= DEVICE_SHARE)
    words = ["kept" if each else "BROKEN" for each in kept]
    text += [
        f"added to a bare call at concurrency 1: {added:.3f} ms, promised at most {ADDED_MS}: {words[0]}",
        _echoes(medians),
        f"our echo / mosec's echo at {CONCURRENCY}: {echo:.2f}, promised at least {ECHO_SHARE}: {words[1]}",
        _real(medians),
        _device(medians, words[2]),
    ]
    return text, all(kept)


def _echoes(medians: dict[str, float]) -> str:
    theirs, ours = (medians[f"{whose}-echo c=1"] for whose in ("mosec", "our"))
    back = medians["to a process and back"]
    return (
        f"a request to mosec's own echo takes {theirs:.3f} ms, to ours on its front {ours:.3f} (no promise);"
        f" a byte to another process and back, of which each has two, {back:.3f}"
    )


def _real(medians: dict[str, float]) -> str:
    share = medians[f"ours c={CONCURRENCY} raw"] / medians["mosec-echo"]
    return f"a real artifact, raw tensors / mosec's echo at {CONCURRENCY}: {share:.2f} (no promise)"


def _device(medians: dict[str, float], word: str) -> str:
    ours, peer = (medians[f"{whose}-device"] / IDEAL_RPS for whose in ("our", "mosec"))
    promise = f"promised at least {DEVICE_SHARE:.0%}: {word}"
    what = f"{BATCH} at once in {DEVICE_S * 1e3:g} ms"
    return f"{what}: {ours:.1%} of {IDEAL_RPS:.0f}/s, {promise}; mosec, waiting 1 ms: {peer:.1%}"


def _unit(name: str) -> str:
    times = ("bare call", "to a process and back")
    return "ms (p50)" if "c=1" in name.split() or name in times else "requests/s"


def main() -> int:
    """Print the figures; return 0 when every promise is kept, 2 without wrk."""
    if shutil.which("wrk") is None:
        sys.stderr.write("wrk is needed for the load: apt-get install wrk, or https://github.com/wg/wrk\n")
        return 2
    given: list[Any] = sys.argv[1:]
    rounds = int(given[0]) if given else ROUNDS
    seconds = float(given[1]) if len(given) > 1 else SECONDS
    with tempfile.TemporaryDirectory() as directory:
        found = measure(Path(directory), rounds, seconds)
    where = f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    text, kept = lines(found)
    sys.stdout.write(
        "\n".join([f"medians of {rounds} rounds of {seconds:g} s, in turn; {where}", *text]) + "\n"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
