from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from artifacts.compile.request import CompileRequest, CompileResult, Lanes
from artifacts.errors import CompileError
from artifacts.manifest import Parity
from provisioning.parallel import compile_in_parallel, expected_work

if TYPE_CHECKING:
    from collections.abc import Callable

    Started = Callable[["subprocess.Popen[str]"], None]


def _request(target: str, model: str = "m.py:net", lanes: Lanes = Lanes.ALL) -> CompileRequest:
    return CompileRequest(
        model=model, inputs=("float32[1]",), target=target, out_dir=Path("out"), lanes=lanes
    )


def _result(request: CompileRequest) -> CompileResult:
    return CompileResult(
        artifact=Path("a"),
        digest="0" * 64,
        name="net",
        target=request.target,
        lane="trace",
        stand_in=False,
        parity=Parity(max_abs_diff=0.0, atol=1e-3, passed=True, inputs_checked=6),
        lanes=(),
    )


def test_two_run_at_once_and_answer_in_the_order_of_the_requests() -> None:
    both = threading.Barrier(2, timeout=10)

    def compile_one(request: CompileRequest, say: Callable[[str], None], _: Started) -> CompileResult:
        both.wait()  # neither returns before both have begun
        say("packed")
        return _result(request)

    said: list[str] = []
    requests = (_request("c7i.xlarge"), _request("c7g.xlarge"))
    results = compile_in_parallel(requests, said.append, workers=2, compile_one=compile_one)
    assert [result.target for result in results] == ["c7i.xlarge", "c7g.xlarge"]
    assert sorted(said) == ["c7g.xlarge: packed", "c7i.xlarge: packed"]


def test_the_longest_begins_first(tmp_path: Path) -> None:
    small, large = tmp_path / "small.pt", tmp_path / "large.pt"
    small.write_bytes(b"x")
    large.write_bytes(b"x" * 1000)
    begun: list[tuple[str, str]] = []

    def compile_one(request: CompileRequest, _: Callable[[str], None], __: Started) -> CompileResult:
        begun.append((request.target, Path(request.model).name))
        return _result(request)

    requests = (
        _request("c7i.xlarge", str(small)),
        _request("c7i.xlarge", str(large)),
        _request("inf2.xlarge", str(small)),
    )
    compile_in_parallel(requests, lambda _: None, workers=1, compile_one=compile_one)
    assert begun == [("inf2.xlarge", "small.pt"), ("c7i.xlarge", "large.pt"), ("c7i.xlarge", "small.pt")]
    assert expected_work(_request("c7i.xlarge")) > expected_work(_request("c7i.xlarge", lanes=Lanes.QUICK))


def test_the_first_failure_ends_the_others_at_once() -> None:
    running = threading.Event()
    children: list[subprocess.Popen[str]] = []

    def compile_one(request: CompileRequest, _: Callable[[str], None], started: Started) -> CompileResult:
        if request.target == "c7g.xlarge":
            running.wait(10)
            raise CompileError("no lane agrees")
        program = "import time; time.sleep(600)"
        with subprocess.Popen([sys.executable, "-c", program], text=True, start_new_session=True) as child:
            children.append(child)
            started(child)
            running.set()
        raise CompileError("ended")

    requests = (_request("c7i.xlarge"), _request("c7g.xlarge"))
    with pytest.raises(CompileError, match="no lane agrees"):
        compile_in_parallel(requests, lambda _: None, workers=2, compile_one=compile_one)
    assert children[0].wait(timeout=10) == -9
