from __future__ import annotations

import argparse
import multiprocessing
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts.serve.codec import Format, format_of
from artifacts.serve.routes import mosec_options
from artifacts.serve.server import front_threads, worker_environments
from artifacts.serve.worker import LinkedRuntime, ModelWorker

if TYPE_CHECKING:
    import pytest


def _options(*, pin: bool = False, neuron: int = 0) -> argparse.Namespace:
    return argparse.Namespace(version_directory=Path("/v"), workers=3, batch=0, pin=pin, neuron=neuron)


def test_every_worker_has_one_thread_and_the_version() -> None:
    environments = worker_environments(_options(), cpus=[0, 1])
    assert len(environments) == 3
    assert {e["OMP_NUM_THREADS"] for e in environments} == {"1"}
    assert {e["AMAZONEI_VERSION_DIRECTORY"] for e in environments} == {"/v"}
    assert not any("AMAZONEI_WORKER_CPU" in e for e in environments)


def test_pinned_workers_go_round_the_cpus_that_may_be_used() -> None:
    environments = worker_environments(_options(pin=True), cpus=[2, 5])
    assert [e["AMAZONEI_WORKER_CPU"] for e in environments] == ["2", "5", "2"]


def test_each_neuron_worker_sees_a_core_of_its_own() -> None:
    environments = worker_environments(_options(neuron=1), cpus=[0])
    assert [e["NEURON_RT_VISIBLE_CORES"] for e in environments] == ["0", "1", "2"]
    environments = worker_environments(_options(neuron=4), cpus=[0])
    assert [e["NEURON_RT_VISIBLE_CORES"] for e in environments] == ["0-3", "4-7", "8-11"]


def test_the_front_leaves_the_cpus_to_the_workers() -> None:
    assert [front_threads(cpus) for cpus in (1, 2, 4, 8, 192)] == [1, 1, 1, 2, 48]


def test_a_worker_waits_awake_only_where_not_every_cpu_has_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[dict[str, Any]] = []

    class Process:
        def __init__(self, **given: Any) -> None:
            started.append(given)

        def start(self) -> None:
            pass

    class Context:
        Process: Any

    Context.Process = Process
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: Context)
    for cpus, workers in ((4, 3), (4, 4), (1, 1), (2, 1)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, count=cpus: set(range(count)))
        runtime = LinkedRuntime(ModelWorker, num=workers, timeout=1.0)
        event = multiprocessing.Event()
        runtime._start_process(0, "/nowhere", event, event)
    assert [each["kwargs"] for each in started] == [
        {"crowded": False},
        {"crowded": True},
        {"crowded": True},
        {"crowded": False},
    ]


def test_the_server_is_told_where_to_listen() -> None:
    options = mosec_options("127.1.2.3", 8081)
    assert options[:4] == ["--address", "127.1.2.3", "--port", "8081"]


def test_json_is_never_taken_for_raw_tensors() -> None:
    for body in (b'{"inputs": {"x": [1]}}', b'       {"inputs": {}}', b""):
        assert format_of(body) is Format.JSON
    # 123 is also the code of "{"
    assert format_of((123).to_bytes(8, "little") + b'{"x":') is Format.SAFETENSORS
    assert format_of(b"\x93NUMPY\x01\x00") is Format.NPY
