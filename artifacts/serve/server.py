"""The server's process: mosec with one worker process per core.

`python -m artifacts.serve.server --version-directory D --workers N [--batch B] --address A --port P [--pin]
[--neuron]`; mosec reads its own options (address, port, time-out, sizes) from the same command line.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

from mosec import Server

from artifacts.serve.current import read_current
from artifacts.serve.neuron import visible_cores
from artifacts.serve.routes import REQUEST_TIMEOUT_MS, ROUTE
from artifacts.serve.worker import (
    BATCH_VARIABLE,
    CPU_VARIABLE,
    VERSION_VARIABLE,
    LinkedRuntime,
    ModelWorker,
)

# Of tokio, on which mosec's front runs (https://docs.rs/tokio/latest/tokio/attr.main.html).
_THREADS_VARIABLE = "TOKIO_WORKER_THREADS"
_CPUS_PER_THREAD = 4
_PAUSE_S = 1.0  # between a death and the next attempt


class _Server(Server):
    """mosec's server, which tells whether it was asked to end, or had to.

    mosec passes a sentence in the frame's place when it ends by itself.
    """

    asked = False

    def _terminate(self, signum: int, framestack: Any) -> None:
        self.asked = self.asked or not isinstance(framestack, str)
        super()._terminate(signum, framestack)  # type: ignore[no-untyped-call]


def is_current(version: Path, port: int) -> bool:
    """Whether the version in this directory is the one that the host serves, on this port.

    A version under proof must end when it dies, so that the installation sees it; a proven one starts again.
    """
    current = read_current(version.parent.parent)
    return current is not None and (current.digest, current.port) == (version.name, port)


def worker_environments(options: argparse.Namespace, cpus: list[int]) -> list[dict[str, str]]:
    """Return the variables of each worker: its model, its one thread, and its core."""
    shared = {
        VERSION_VARIABLE: str(options.version_directory),
        BATCH_VARIABLE: str(options.batch),
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
    environments = []
    for index in range(options.workers):
        own = dict(shared)
        if options.pin:
            own[CPU_VARIABLE] = str(cpus[index % len(cpus)])
        if options.neuron:
            own["NEURON_RT_VISIBLE_CORES"] = visible_cores(index, options.neuron)
        environments.append(own)
    return environments


def front_threads(cpus: int) -> int:
    """Return how many threads mosec's front shall have beside workers that use every CPU.

    By default it has one per CPU, which wake each other for every request and take turns with the workers.
    One thread alone carries thousands of requests a second.
    """
    return max(1, cpus // _CPUS_PER_THREAD)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m artifacts.serve.server")
    parser.add_argument("--version-directory", type=Path, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--batch", type=int, default=0, help="requests at once; 0: what the model takes")
    parser.add_argument("--pin", action="store_true", help="bind each worker to a CPU of its own")
    parser.add_argument(
        "--neuron", type=int, default=0, help="give each worker so many NeuronCores of its own"
    )
    parser.add_argument("--port", type=int, required=True)
    # mosec reads the command line too, and for itself.
    options, _ = parser.parse_known_args()
    cpus = sorted(os.sched_getaffinity(0))
    environments = worker_environments(options, cpus)
    os.environ.setdefault(_THREADS_VARIABLE, str(front_threads(len(cpus))))
    server = _Server()  # type: ignore[no-untyped-call]
    runtime = LinkedRuntime(
        ModelWorker, num=options.workers, env=environments, timeout=REQUEST_TIMEOUT_MS / 1000
    )
    server.register_runtime({ROUTE: [runtime]})
    server.run()  # type: ignore[no-untyped-call]
    # mosec replaces a dead worker, and ends when the last of them is dead.
    if not server.asked and is_current(options.version_directory, options.port):
        sys.stderr.write("amazonei: the last worker died; the server starts again\n")
        time.sleep(_PAUSE_S)
        command = [sys.executable, "-m", "artifacts.serve.server", *sys.argv[1:]]
        os.execv(sys.executable, command)  # noqa: S606 - the same process, for its supervisor and its pid file


if __name__ == "__main__":
    main()
