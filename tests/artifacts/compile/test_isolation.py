from __future__ import annotations

import faulthandler
import os
import signal
import time

from artifacts.compile.isolation import isolated


def test_the_answer_comes_back_from_another_process() -> None:
    outcome = isolated(os.getpid, timeout_s=10)
    assert outcome.answer not in (None, os.getpid())
    assert outcome.reason == ""


def crash() -> None:
    faulthandler.disable()  # or its long report is what one sees of a passing suite
    os.kill(os.getpid(), signal.SIGSEGV)


def test_a_crash_is_a_reason() -> None:
    outcome = isolated(crash, timeout_s=10)
    assert outcome.answer is None
    assert outcome.reason == "its process ended with SIGSEGV"


def test_an_end_without_an_answer_is_a_reason() -> None:
    assert isolated(lambda: os._exit(7), timeout_s=10).reason == "its process ended with exit code 7"


def test_a_hang_ends_at_its_time_and_leaves_no_process() -> None:
    read, write = os.pipe()

    def hang() -> None:
        os.write(write, f"{os.getpid()}\n".encode())
        time.sleep(600)

    outcome = isolated(hang, timeout_s=1)
    assert outcome.reason == "was still running after 1 s"
    pid = int(os.read(read, 20))
    assert not os.path.exists(f"/proc/{pid}")  # noqa: PTH110 - a process is not a path of ours
