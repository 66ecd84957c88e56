"""The servers that `tests.bench.serving` compares, each a process of its own.

    python -m tests.bench.servers KIND [mosec's options]

Echo and device exist twice: on mosec as it is, and on our worker loop; only the loop differs.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from mosec import Server, Worker

from artifacts.serve.links import Code, Reply
from artifacts.serve.routes import ROUTE
from artifacts.serve.worker import BatchWorker, LinkedRuntime

if TYPE_CHECKING:
    from collections.abc import Sequence

BATCH = 8
DEVICE_S = 0.005  # what the device takes for a batch, whatever its size


class Echo(Worker):
    """mosec's own echo: JSON in, the same JSON out."""

    def forward(self, data: Any) -> Any:
        return data


class BatchedEcho(Worker):
    """The same where mosec batches."""

    def forward(self, data: Any) -> Any:
        return list(data)


class Device(Worker):
    def forward(self, data: Any) -> Any:
        time.sleep(DEVICE_S)
        return list(data)


class OurEcho(BatchWorker):
    """The same JSON work on our loop."""

    def read(self, body: bytearray) -> Any:
        return json.loads(body)

    def compute(self, questions: Sequence[Any]) -> Sequence[Any]:
        return questions

    def write(self, question: Any, outcome: Any) -> Reply:
        return Reply(Code.OK, json.dumps(outcome, indent=2).encode())


class OurBatchedEcho(OurEcho):
    batch = BATCH


class OurDevice(OurBatchedEcho):
    overlaps = True

    def compute(self, questions: Sequence[Any]) -> Sequence[Any]:
        time.sleep(DEVICE_S)
        return questions


OURS = {"our-echo": OurEcho, "our-echo-batched": OurBatchedEcho, "our-device": OurDevice}
MOSEC: dict[str, tuple[type[Worker], int]] = {
    "mosec-echo": (Echo, 1),
    "mosec-echo-batched": (BatchedEcho, BATCH),
    "mosec-device": (Device, BATCH),
}


def main() -> None:
    """Serve one kind until SIGTERM."""
    kind = sys.argv.pop(1)  # mosec reads the rest
    server = Server()  # type: ignore[no-untyped-call]
    if kind in OURS:
        runtime = LinkedRuntime(OURS[kind], num=1, timeout=30.0)
        server.register_runtime({ROUTE: [runtime]})
    else:
        worker, batch = MOSEC[kind]
        server.append_worker(worker, max_batch_size=batch, max_wait_time=1, route=ROUTE)
    server.run()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
