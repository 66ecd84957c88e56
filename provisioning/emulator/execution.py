"""One run of a shell script on an emulated host: a real process group with a time limit."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# What the SSM agent reports for a script it ended itself: 128 + SIGKILL.
# https://github.com/aws/amazon-ssm-agent/blob/mainline/agent/appconfig/constants_unix.go
STOPPED_EXIT_CODE = 137


class Ending(StrEnum):
    """How a script ended."""

    FINISHED = "finished"
    TIMED_OUT = "timed out"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What to run, where, with exactly which environment, and for how long at most."""

    text: str
    folder: Path  # where the script file and its output go; made by the run
    environment: Mapping[str, str]
    working_directory: Path
    timeout_s: float | None = None  # None: no limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it ended, its exit code, and the files that hold its whole output."""

    ending: Ending
    exit_code: int
    stdout: Path
    stderr: Path


class Execution:
    """One run of a script, which another thread may end."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._ending = Ending.FINISHED

    def run(self) -> Outcome:
        """Run the script to its end, or until it is ended; blocks."""
        process = self._start()
        if process is None:
            return self._outcome(STOPPED_EXIT_CODE)
        with _time_limit(self, self._script.timeout_s):
            status = process.wait()
        # A shell reports a command that died by a signal as 128 + its number; so does the agent.
        return self._outcome(128 - status if status < 0 else status)

    def end(self, ending: Ending) -> None:
        """End the script's process group now; one that has not started never will."""
        with self._lock:
            if self._process is None:
                self._ending = ending
            elif self._process.poll() is None:
                self._ending = ending
                os.killpg(self._process.pid, signal.SIGKILL)

    def _start(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._ending is Ending.FINISHED:
                self._script.folder.mkdir(parents=True)
                self._process = self._spawn()
            return self._process

    def _spawn(self) -> subprocess.Popen[bytes]:
        folder, text = self._script.folder, self._script.text
        (folder / "_script.sh").write_text(text)
        with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
            return subprocess.Popen(
                [*_interpreter(text), str(folder / "_script.sh")],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=dict(self._script.environment),
                cwd=self._script.working_directory,
                start_new_session=True,
            )

    def _outcome(self, exit_code: int) -> Outcome:
        return Outcome(
            ending=self._ending,
            exit_code=exit_code if self._ending is Ending.FINISHED else STOPPED_EXIT_CODE,
            stdout=self._script.folder / "stdout",
            stderr=self._script.folder / "stderr",
        )


class _time_limit:  # noqa: N801 (used as a with-statement's phrase)
    """Ends the execution as timed out unless the block is left within the limit."""

    def __init__(self, execution: Execution, timeout_s: float | None) -> None:
        self._timer = (
            None if timeout_s is None else threading.Timer(timeout_s, execution.end, args=(Ending.TIMED_OUT,))
        )

    def __enter__(self) -> None:
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _interpreter(text: str) -> list[str]:
    """Return the argv that runs the script file: its own interpreter when it names one, else sh."""
    first = text.partition("\n")[0]
    return shlex.split(first[2:]) if first.startswith("#!") else ["/bin/sh"]
