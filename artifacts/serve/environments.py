"""The Python environment that a host serves from: made from a wheelhouse, beside the one that is in use.

    /opt/amazonei/venv-<digest>     one environment for each wheelhouse, complete when it holds its lock
    /opt/amazonei/venv              a link to the one that serves, replaced in one step

Wheels are compared with the lock's SHA-256 before pip sees them, and pip compares them again
(https://pip.pypa.io/en/stable/topics/secure-installs/). Installing a wheel runs no code of it. The files
belong to whoever runs the command (root on AWS), so a server, which runs as another user, cannot change them.
"""

from __future__ import annotations

import errno
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.errors import BadRequest, DiskFull, ServeFailed
from artifacts.serve.processes import programs
from artifacts.serve.wheelhouse import (
    INSTALLER,
    MOST_LOCK_BYTES,
    Wheelhouse,
    requirements_text,
    wheelhouse_key,
)

if TYPE_CHECKING:
    from typing import NoReturn

    from artifacts.serve.installation import Host

POINTER = "venv"
_LOCK = "wheelhouse.json"  # written last: a directory with it is whole
_ENTERED = "AMAZONEI_ENTERED"
_AGAIN = "Ship the artifact again; if it stays so, look at the host with: amazonei logs"
_ALL_AGAIN = (
    "If it is not in the bucket as it was sent, send all of it again: amazonei ship ARTIFACT --resend"
)
_BUILD_S = 800
# What asks the image's interpreter for the directories of its packages.
_PACKAGES = "import site, sysconfig; print(*site.getsitepackages(), sysconfig.get_path('purelib'), sep='\\n')"
# pip and venv need nothing of the command's environment, and its credentials least of all.
_WITHHELD = ("AWS_", "SSM_", "PIP_", "PYTHON")


def environment_directory(home: Path, digest: str) -> Path:
    """Return where the environment of a wheelhouse lies."""
    return home / f"{POINTER}-{digest}"


def interpreter_of(directory: Path) -> Path:
    """Return the interpreter of an environment."""
    return directory / "bin" / "python"


def own_python(home: Path) -> str:
    """Return this process's interpreter by a path that stays its own when the pointer moves."""
    if Path(sys.prefix) == home / POINTER:
        return str(interpreter_of(Path(sys.prefix).resolve()))
    return sys.executable


def enter_environment(host: Host, digest: str) -> None:
    """Go on in the environment of the wheelhouse, made now if need be; no digest leaves all as it is.

    Raises ServeFailed, with nothing changed, when it cannot be made.
    """
    if not digest:
        return
    directory = environment_directory(host.settings.home, digest)
    if not (directory / _LOCK).is_file():
        _make(host, digest, directory)
    if Path(sys.prefix).resolve() != directory.resolve():
        host.enter(interpreter_of(directory))


def go_on_in(python: Path) -> NoReturn:
    """Replace this process by the same command in another interpreter; it finds the environment made."""
    if os.environ.get(_ENTERED) == str(python):
        raise ServeFailed(f"{python} does not start in its own environment.", _AGAIN)
    again = [str(python), "-m", "artifacts.serve.host"]
    os.execve(python, again, {**os.environ, _ENTERED: str(python)})  # noqa: S606 - no shell is wanted


def point_environment(home: Path, python: str) -> None:
    """Let commands and new servers find the environment that serves; an image's own needs no pointer."""
    pointer, directory = home / POINTER, Path(python).parent.parent
    if directory.parent == home and directory.name.startswith(f"{POINTER}-"):
        temporary = home / f".{POINTER}.partial"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(directory.name)
        temporary.replace(pointer)
    elif pointer.is_symlink():
        pointer.unlink()


def keep_environments(home: Path, pythons: set[str]) -> None:
    """Remove every environment that none of these interpreters, and none that runs, belongs to.

    A compile takes long, and a version may be installed meanwhile; the next one removes its environment.
    """
    kept = {Path(python).parent.parent for python in pythons | programs()}
    for directory in home.glob(f"{POINTER}-*"):
        if directory not in kept:
            shutil.rmtree(directory, ignore_errors=True)


def _make(host: Host, digest: str, directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)  # what was broken off
    with tempfile.TemporaryDirectory(dir=host.settings.home, prefix=".wheels-") as scratch:
        wheelhouse = _fetch(host, digest, Path(scratch))
        try:
            _install(host, wheelhouse, Path(scratch), directory)
            (directory / f"{_LOCK}.partial").write_bytes(wheelhouse.to_json())
            (directory / f"{_LOCK}.partial").replace(directory / _LOCK)
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise


def _fetch(host: Host, digest: str, scratch: Path) -> Wheelhouse:
    """Bring the lock and its wheels, each compared with its digest; raises ServeFailed."""
    lock = scratch / "lock.json"
    _bring(host, wheelhouse_key(digest), lock, digest, MOST_LOCK_BYTES)
    try:
        wheelhouse = Wheelhouse.from_json(lock.read_bytes())
    except BadRequest as error:
        raise ServeFailed(error.message, _AGAIN) from error
    _refuse_foreign(wheelhouse)
    host.progress(f"fetching {len(wheelhouse.wheels)} wheels ({wheelhouse.size / 1e6:.1f} MB)")
    for wheel in wheelhouse.wheels:
        _bring(host, wheel.key, scratch / wheel.filename, wheel.sha256, wheel.size)
    return wheelhouse


def _bring(host: Host, key: str, path: Path, digest: str, most: int) -> None:
    """Download an object that the tool takes for granted once a recipe's note says that it is there."""
    try:
        host.storage.fetch_verified(key, path, digest, most)
    except ServeFailed as error:
        raise ServeFailed(error.message, _ALL_AGAIN) from error


def _refuse_foreign(wheelhouse: Wheelhouse) -> None:
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    if python not in wheelhouse.pythons or platform.machine() != wheelhouse.architecture:
        raise ServeFailed(
            f"The wheelhouse is for Python {' or '.join(wheelhouse.pythons)} on {wheelhouse.architecture}; "
            f"this host has Python {python} on {platform.machine()}.",
            "Ship from a version of the tool that knows this image, or with --no-wheelhouse where the image "
            "carries all that is needed.",
        )


def _install(host: Host, wheelhouse: Wheelhouse, wheels: Path, directory: Path) -> None:
    base, python = host.settings.base_python, str(interpreter_of(directory))
    _run([base, "-m", "venv", "--without-pip", str(directory)], "python -m venv")
    if wheelhouse.beside:
        _show_packages_of(base, directory)
    (wheels / "requirements.txt").write_text(requirements_text(wheelhouse), encoding="ascii")
    installer = next(wheel.filename for wheel in wheelhouse.wheels if wheel.name == INSTALLER)
    command = [python, "-I", str(wheels / installer / INSTALLER), "--isolated", "--disable-pip-version-check"]
    command += ["install", "--quiet", "--no-cache-dir", "--no-index", "--find-links", str(wheels)]
    # A program that the image has too is looked for beside the Python that runs: it must be here as well.
    command += ["--ignore-installed"]
    command += [
        "--only-binary",
        ":all:",
        "--require-hashes",
        "--requirement",
        str(wheels / "requirements.txt"),
    ]
    host.progress(f"installing into {directory.name[:17]}…")
    _run(command, "pip install")
    _run([python, "-I", "-c", f"import {', '.join(wheelhouse.imports)}"], "importing what was installed")


def _show_packages_of(base: str, directory: Path) -> None:
    """Let the environment see what the image's interpreter sees.

    `venv --system-site-packages` would not: made from an environment, it shows the system's packages and
    not that environment's (https://docs.python.org/3/library/venv.html). Ours come first on the path.
    """
    found = dict.fromkeys(line for line in _run([base, "-c", _PACKAGES], base).splitlines() if line)
    (site,) = directory.glob("lib/python3*/site-packages")
    lines = [f"import site; site.addsitedir({path!r})" for path in found]
    (site / "image.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _run(command: list[str], what: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_WITHHELD)}
    environment["PIP_CONFIG_FILE"] = os.devnull  # no index and no constraints of the image's
    try:
        done = subprocess.run(
            command, env=environment, check=False, capture_output=True, text=True, timeout=_BUILD_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServeFailed(f"{what} failed: {error}", _AGAIN) from error
    if done.returncode != 0:
        if os.strerror(errno.ENOSPC) in done.stderr:
            raise DiskFull(f"{what} failed")
        tail = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-5:])
        raise ServeFailed(f"{what} failed:\n{tail}", _AGAIN)
    return done.stdout
