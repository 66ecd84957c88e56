"""The emulator as a service of this machine: start, find and stop it.

One emulator runs per state directory. It is found by its record, and trusted only while the process it
names, by pid and start time, still runs.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.errors import BadRequest
from provisioning.emulator import processes
from provisioning.emulator.state import Running, StateDirectory
from provisioning.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Running", "advance", "default_state_dir", "environment", "find", "start", "stop"]

DEFAULT_REGION = "us-west-2"
HEALTH_PATH = "/amazonei/health"

_START_TIMEOUT_S = 60.0
_LOG_TAIL_LINES = 15
# A proxy of the user's cannot reach this machine's own loopback.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
# What the emulator's own process needs of its parent's environment; credentials and moto settings of
# the user stay outside, because they would change what the emulator answers.
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")


def default_state_dir() -> Path:
    """Return the directory of the user's own emulator, after the XDG base directory specification."""
    root = os.environ.get("XDG_STATE_HOME")
    return (Path(root) if root else Path.home() / ".local" / "state") / "amazonei" / "emulator"


def find(state_dir: Path) -> Running | None:
    """Return the emulator that runs on this state directory, or None."""
    running = StateDirectory(state_dir.absolute()).read()
    return running if running is not None and running.process.alive() else None


def start(state_dir: Path, port: int = 0, *, registration_delay_s: float = 1.0) -> Running:
    """Start the emulator and wait until it answers; return the running one when there is one already.

    Port 0 takes a free one; the delay is from a host's boot to its registration with SSM. Raises
    `AwsError` with the end of its log when it does not come up, and `BadRequest` where there is no
    /proc or when it already runs on another port than the one asked for.
    """
    _refuse_without_proc()
    state = StateDirectory(state_dir.absolute())
    state.prepare()
    with state.lock():
        running = find(state.path)
        if running is None:
            _clear(state)
            return _launch(state, ["--port", str(port), "--registration-delay", str(registration_delay_s)])
    if port not in {0, running.port}:
        raise BadRequest(
            f"The emulator already runs on port {running.port}, not {port}.",
            "Stop it first: amazonei emulator stop",
        )
    return running


def stop(state_dir: Path) -> bool:
    """End this state directory's emulator and all processes of its hosts; return whether one ran."""
    state = StateDirectory(state_dir.absolute())
    if not state.path.is_dir():
        return False
    with state.lock():
        running = find(state.path)
        if running is not None:
            processes.end(_only(running.process), grace_s=10.0)
            _reap(running.pid)
        _clear(state)
        return running is not None


def advance(state_dir: Path, seconds: float) -> None:
    """Put the clock of the emulator's schedules forward, to that many seconds ahead of the machine's."""
    file = StateDirectory(state_dir.absolute()).clock
    partial = file.with_suffix(".partial")
    partial.write_text(f"{seconds:f}", encoding="ascii")
    partial.replace(file)


def environment(running: Running, region: str = DEFAULT_REGION) -> dict[str, str]:
    """Return the environment that points any AWS client at the emulator."""
    return {
        "AWS_ENDPOINT_URL": running.endpoint_url,
        "AWS_ACCESS_KEY_ID": running.access_key,
        "AWS_SECRET_ACCESS_KEY": running.secret_key,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
    }


def _refuse_without_proc() -> None:
    if not Path("/proc/self/stat").exists():
        raise BadRequest(
            "The emulator needs Linux: it tells processes apart through /proc.",
            "Run it on Linux, in a container, or in a virtual machine.",
        )


def _only(process: processes.Process) -> Callable[[], tuple[processes.Process, ...]]:
    return lambda: (process,) if process.alive() else ()


def _clear(state: StateDirectory) -> None:
    """Remove what an emulator leaves that was killed: its hosts' processes, their folders, its record."""
    processes.end(lambda: processes.carrying_below("AMAZONEI_HOME", state.hosts))
    shutil.rmtree(state.hosts, ignore_errors=True)
    state.forget()


def _launch(state: StateDirectory, options: Sequence[str]) -> Running:
    pid = _spawn(state, options)
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        running = find(state.path)
        if running is not None and running.pid == pid and _answers(running):
            return running
        if _reap(pid):
            raise AwsError(f"The emulator did not start: {_tail(state.log)}", f"Its log: {state.log}")
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)  # our own child, not yet waited for: its pid cannot have been recycled
    os.waitpid(pid, 0)
    raise AwsError(
        f"The emulator did not answer within {_START_TIMEOUT_S:.0f} s: {_tail(state.log)}",
        f"Its log: {state.log}",
    )


def _spawn(state: StateDirectory, options: Sequence[str]) -> int:
    """Start the process in a session of its own; return its pid.

    It is meant to outlive this process, which `subprocess` would report as a leak.
    """
    # -P: whatever lies in the user's working directory must not be imported in moto's place.
    argv = [sys.executable, "-P", "-m", "provisioning.emulator"]
    argv += ["--state-dir", str(state.path), *options]
    writing = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    streams = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(state.log), writing, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    environment = _child_environment(os.environ)
    return os.posix_spawn(sys.executable, argv, environment, file_actions=streams, setsid=True)


def _reap(pid: int) -> bool:
    """Return whether this child has ended, and let the kernel forget it; False when it is not a child."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return False


def _child_environment(parent: Mapping[str, str]) -> dict[str, str]:
    inherited = {name: parent[name] for name in _INHERITED if name in parent}
    checkout = Path(__file__).resolve().parents[2]
    return inherited | {"PYTHONPATH": str(checkout), "PYTHONUNBUFFERED": "1"}


def _answers(running: Running) -> bool:
    try:
        with _DIRECT.open(running.endpoint_url + HEALTH_PATH, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(lines[-_LOG_TAIL_LINES:]) or "it wrote nothing"
