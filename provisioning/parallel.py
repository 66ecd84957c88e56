"""Compile several models or targets at once: processes, longest first, no more than there are cores."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.compile.request import CompileRequest, CompileResult, Lanes
from artifacts.targets import Compiler, find
from provisioning.compiling import compile_model

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence

    Say = Callable[[str], None]
    Compile = Callable[[CompileRequest, Say, Callable[["subprocess.Popen[str]"], None]], CompileResult]

_SLOW = {Compiler.TORCH_NEURON: 3, Compiler.TORCH_NEURONX: 3, Compiler.CUDA: 2}


def compile_in_parallel(
    requests: Sequence[CompileRequest],
    say: Say,
    *,
    workers: int | None = None,
    compile_one: Compile = compile_model,
) -> tuple[CompileResult, ...]:
    """Return the results in the order of the requests; the first failure ends the others and is raised."""
    children = Children()
    order = sorted(range(len(requests)), key=lambda index: expected_work(requests[index]), reverse=True)
    with ThreadPoolExecutor(workers or len(os.sched_getaffinity(0))) as pool:
        futures = {
            index: pool.submit(compile_one, requests[index], _voice(requests, index, say), children.add)
            for index in order
        }
        try:
            done, _ = wait(futures.values(), return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            children.end()
            raise
    return tuple(futures[index].result() for index in range(len(requests)))


def expected_work(request: CompileRequest) -> tuple[int, int]:
    """Return what orders compiles by length: the kind of compiler and lanes first, then the bytes of weights.

    A model that Python makes tells its size only when it is made, so those keep their order.
    """
    compiler = Compiler.TORCHSCRIPT if request.stand_in else find(request.target).compiler
    kind = _SLOW.get(compiler, 1 if request.lanes is Lanes.ALL else 0)
    return kind, _bytes(Path(request.model))


def _bytes(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.iterdir() if file.is_file())
    return path.stat().st_size if path.is_file() else 0


def _voice(requests: Sequence[CompileRequest], index: int, say: Say) -> Say:
    """Return `say` with the target or model before each line, where several speak at once."""
    if len(requests) == 1:
        return say
    request = requests[index]
    same_model = all(other.model == request.model for other in requests)
    speaker = request.target if same_model else request.model.rpartition(":")[2]
    return lambda line: say(f"{speaker}: {line}")


class Children:
    """The compilers that run, so that all can be ended when one fails or the user interrupts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: list[subprocess.Popen[str]] = []
        self._ended = False

    def add(self, process: subprocess.Popen[str]) -> None:
        """Note a compiler that was started, each in a session of its own."""
        with self._lock:
            self._processes.append(process)
            if self._ended:
                _end(process)

    def end(self) -> None:
        """End all of them and whatever they started."""
        with self._lock:
            self._ended = True
            for process in self._processes:
                _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
