"""The server's process: mosec with one worker process per core.

`python -m artifacts.serve.server --version-directory D --workers N --address A --port P [--pin] [--neuron]`;
mosec reads its own options (address, port, time-out, sizes) from the same command line.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from mosec import Server

from artifacts.serve.routes import REQUEST_TIMEOUT_MS, ROUTE
from artifacts.serve.worker import CPU_VARIABLE, VERSION_VARIABLE, ModelWorker


def worker_environments(options: argparse.Namespace, cpus: list[int]) -> list[dict[str, str]]:
    """Return the variables of each worker: its model, its one thread, and its core."""
    shared = {
        VERSION_VARIABLE: str(options.version_directory),
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
    environments = []
    for index in range(options.workers):
        own = dict(shared)
        if options.pin:
            own[CPU_VARIABLE] = str(cpus[index % len(cpus)])
        if options.neuron:
            own["NEURON_RT_VISIBLE_CORES"] = str(index)
        environments.append(own)
    return environments


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m artifacts.serve.server")
    parser.add_argument("--version-directory", type=Path, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--pin", action="store_true", help="bind each worker to a CPU of its own")
    parser.add_argument("--neuron", action="store_true", help="give each worker a NeuronCore of its own")
    options, _ = parser.parse_known_args()
    environments = worker_environments(options, sorted(os.sched_getaffinity(0)))
    server = Server()  # type: ignore[no-untyped-call]
    # No batching: max_batch_size stays 1, so mosec's 10 ms batching window never opens.
    server.append_worker(
        ModelWorker,
        num=options.workers,
        env=environments,
        timeout=REQUEST_TIMEOUT_MS / 1000,
        route=ROUTE,
    )
    server.run()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
