"""A host's environment comes from wheels that were verified, whole or not at all, beside the one in use."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from artifacts.canonical import sha256
from artifacts.errors import ServeFailed
from artifacts.serve.environments import (
    enter_environment,
    environment_directory,
    interpreter_of,
    keep_environments,
    point_environment,
)
from artifacts.serve.installation import Host
from artifacts.serve.requests import StatusRequest
from artifacts.serve.settings import HostSettings, read_settings
from artifacts.serve.storage import Storage
from artifacts.serve.supervision import ProcessSupervisor
from tests.artifacts.serve.wheels import PYTHON, make_wheel, repacked, stocked

if TYPE_CHECKING:
    from collections.abc import Callable

    from artifacts.compile.request import CompileResult
    from artifacts.serve.wheelhouse import Wheelhouse
    from tests.artifacts.serve.conftest import Machine, Response

    NewMachine = Callable[..., Machine]


class FolderStorage(Storage):
    """A bucket in a folder; what was fetched is on the record."""

    def __init__(self, folder: Path) -> None:
        super().__init__("box")
        object.__setattr__(self, "folder", folder)
        object.__setattr__(self, "fetched", [])

    folder: Path
    fetched: list[str]

    def store(self, key: str, data: bytes) -> None:
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def fetch(self, key: str, path: Path, most: int | None = None) -> None:
        self.fetched.append(key)
        if not (self.folder / key).exists():
            raise ServeFailed(
                "aws s3api get-object failed: NoSuchKey", "Look at the host's role and endpoint."
            )
        path.write_bytes((self.folder / key).read_bytes()[:most])


@pytest.fixture
def storage(tmp_path: Path) -> FolderStorage:
    return FolderStorage(tmp_path / "bucket")


@pytest.fixture
def entered() -> list[Path]:
    return []


@pytest.fixture
def host(tmp_path: Path, storage: FolderStorage, entered: list[Path]) -> Host:
    home = tmp_path / "home"
    home.mkdir()
    settings = HostSettings(
        home=home,
        address="127.0.0.1",
        instance_id="i-0",
        accelerator="c7i.xlarge",
        emulated=True,
        python=sys.executable,
    )
    return Host(
        settings=settings,
        storage=storage,
        supervisor=ProcessSupervisor(home, home),
        progress=lambda _: None,
        enter=entered.append,
    )


def asks(python: Path, program: str) -> str:
    done = subprocess.run([python, "-I", "-c", program], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_an_environment_of_its_own_has_what_the_wheelhouse_holds_and_nothing_else(
    host: Host, storage: FolderStorage, entered: list[Path], tmp_path: Path
) -> None:
    lower = make_wheel(tmp_path, "lower", "1.5", "answer = 42\n")
    upper = make_wheel(tmp_path, "upper", "2.0", "from lower import answer\n", requires="lower>=1")
    lock = stocked(storage.store, lower, upper, imports=("upper",), beside=False)
    half = environment_directory(host.settings.home, lock.digest)
    half.mkdir()
    (half / "rubbish").write_text("power was lost here")
    enter_environment(host, lock.digest)
    assert not (half / "rubbish").exists()
    (python,) = entered
    assert python == interpreter_of(environment_directory(host.settings.home, lock.digest))
    assert asks(python, "import upper; print(upper.answer)") == "42"
    found = asks(python, "import importlib.util as u; print(u.find_spec('torch'), u.find_spec('pip'))")
    assert found == "None None"
    assert [path.name for path in host.settings.home.iterdir()] == [f"venv-{lock.digest}"]  # no left-overs

    storage.fetched.clear()
    enter_environment(host, lock.digest)
    assert (entered, storage.fetched) == ([python, python], [])


def altered_wheel(store: FolderStorage, lock: Wheelhouse) -> str:
    key = next(wheel.key for wheel in lock.wheels if wheel.name == "probe")
    data = (store.folder / key).read_bytes()
    store.store(key, data[:-1] + bytes([data[-1] ^ 1]))
    return lock.digest


def altered_lock(store: FolderStorage, lock: Wheelhouse) -> str:
    store.store(lock.key, lock.to_json().replace(b"probe-1", b"probe-2"))
    return lock.digest


def another_python(store: FolderStorage, lock: Wheelhouse) -> str:
    other = dataclasses.replace(lock, pythons=("3.99",))
    store.store(other.key, other.to_json())
    return other.digest


def another_architecture(store: FolderStorage, lock: Wheelhouse) -> str:
    other = dataclasses.replace(lock, architecture="riscv64")
    store.store(other.key, other.to_json())
    return other.digest


def a_way_out(store: FolderStorage, lock: Wheelhouse) -> str:
    document = json.loads(lock.to_json())
    document["wheels"][0]["filename"] = "../../probe-1-py3-none-any.whl"
    data = json.dumps(document).encode()
    digest = sha256(data)
    store.store(f"artifacts/wheelhouses/{digest}.json", data)
    return digest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (altered_wheel, "has SHA-256"),
        (altered_lock, "has SHA-256"),
        (another_python, f"for Python 3.99 on .*; this host has Python {PYTHON}"),
        (another_architecture, "on riscv64; this host"),
        (a_way_out, "of the form"),
    ],
)
def test_what_is_not_as_locked_is_refused_and_leaves_nothing(
    host: Host,
    storage: FolderStorage,
    entered: list[Path],
    tmp_path: Path,
    change: Callable[[FolderStorage, Wheelhouse], str],
    said: str,
) -> None:
    wheel = make_wheel(tmp_path, "probe", "1", "")
    lock = stocked(storage.store, wheel, imports=("probe",), beside=False)
    with pytest.raises(ServeFailed, match=said):
        enter_environment(host, change(storage, lock))
    assert entered == []
    assert list(host.settings.home.iterdir()) == []


def no_lock(store: FolderStorage, lock: Wheelhouse) -> str:
    (store.folder / lock.key).unlink()
    return lock.digest


def no_wheel(store: FolderStorage, lock: Wheelhouse) -> str:
    (store.folder / lock.wheels[-1].key).unlink()
    return lock.digest


@pytest.mark.parametrize("change", [no_lock, altered_lock, no_wheel, altered_wheel])
def test_what_the_tool_does_not_look_for_again_is_mended_by_sending_all_of_it(
    host: Host, storage: FolderStorage, tmp_path: Path, change: Callable[[FolderStorage, Wheelhouse], str]
) -> None:
    lock = stocked(storage.store, make_wheel(tmp_path, "probe", "1", ""), imports=("probe",), beside=False)
    with pytest.raises(ServeFailed) as caught:
        enter_environment(host, change(storage, lock))
    assert "amazonei ship ARTIFACT --resend" in caught.value.hint


@pytest.mark.nightly
def test_a_package_that_the_lock_forgot_is_not_taken_from_anywhere(
    host: Host, storage: FolderStorage, tmp_path: Path
) -> None:
    needy = make_wheel(tmp_path, "needy", "1", "", requires="filelock")  # every index has that one
    lock = stocked(storage.store, needy, imports=("needy",), beside=False)
    with pytest.raises(ServeFailed, match="filelock"):
        enter_environment(host, lock.digest)


def test_the_pointer_follows_the_served_environment_and_old_ones_go(tmp_path: Path) -> None:
    homes = [tmp_path / f"venv-{digit * 64}" for digit in "abc"]
    pythons = [str(home / "bin/python") for home in homes]
    for home in homes:
        home.mkdir()
    point_environment(tmp_path, pythons[0])
    point_environment(tmp_path, pythons[1])
    assert (tmp_path / "venv").resolve() == homes[1]
    keep_environments(tmp_path, {pythons[0], pythons[1]})
    assert [home.exists() for home in homes] == [True, True, False]
    assert (tmp_path / "venv").is_symlink()
    point_environment(tmp_path, "/opt/image/bin/python")  # back to what the image brought
    assert not (tmp_path / "venv").exists()


def test_an_image_without_pytorch_makes_environments_from_the_python_that_runs(tmp_path: Path) -> None:
    document = {
        "accelerator": "c7i.xlarge",
        "instance_id": "i-0",
        "interpreter": f"{tmp_path}/venv/bin/python",
    }
    (tmp_path / "host.json").write_text(json.dumps(document))
    base = read_settings({"AMAZONEI_HOME": str(tmp_path)}).base_python
    assert base == f"{sys.base_prefix}/bin/python{PYTHON}"
    assert (
        read_settings({"AMAZONEI_HOME": str(tmp_path), "AMAZONEI_PYTHON": sys.executable}).base_python
        == sys.executable
    )


def wheels_to_serve(machine: Machine, probe: str) -> list[Path]:
    """Return the server's wheels; PyTorch stays the image's."""
    names = ("mosec", "defspec", "msgspec", "offapi")
    return [make_wheel(machine.root, "probe", probe, ""), *(repacked(machine.root, name) for name in names)]


@pytest.fixture(scope="module")
def served(new_machine: NewMachine, two_layers: CompileResult) -> tuple[Machine, Response]:
    """A host that serves from an environment with one wheel more than its image's interpreter has."""
    machine = new_machine()
    lock = stocked(machine.store, *wheels_to_serve(machine, "1"), imports=("probe", "mosec"))
    first = machine.install(two_layers.artifact, two_layers.digest, wheelhouse=lock.digest)
    return machine, first


def serving(machine: Machine) -> dict[str, Any]:
    state: dict[str, Any] = machine.send(StatusRequest(id="look")).document["serving"]
    return state


def program_of(machine: Machine) -> str:
    return Path(f"/proc/{serving(machine)['pid']}/cmdline").read_text(encoding="utf-8").split("\0")[0]


@pytest.mark.nightly
def test_a_host_serves_from_the_environment_it_made(
    served: tuple[Machine, Response], two_layers: CompileResult
) -> None:
    machine, first = served
    assert first.code == 0, first.document
    assert first.document["changed"] is True
    environment = (machine.home / "venv").resolve()
    assert program_of(machine) == f"{environment}/bin/python"
    before = serving(machine)["pid"]
    digest = environment.name.removeprefix("venv-")
    again = machine.install(two_layers.artifact, two_layers.digest, wheelhouse=digest)
    assert (again.document["changed"], "installing into" in again.steps) == (False, False)
    assert serving(machine)["pid"] == before


@pytest.mark.nightly
def test_an_environment_that_cannot_be_made_leaves_the_old_one_serving(
    served: tuple[Machine, Response], two_layers: CompileResult
) -> None:
    machine, _ = served
    before = serving(machine)
    lock = stocked(machine.store, imports=("not_in_any_wheel",))
    failed = machine.install(two_layers.artifact, two_layers.digest, wheelhouse=lock.digest)
    assert failed.code == 5
    assert "not_in_any_wheel" in failed.document["error"]["message"]
    after = serving(machine)
    assert (after["pid"], after["healthy"]) == (before["pid"], True)
    assert [path.name for path in machine.home.glob("venv-*")] == [(machine.home / "venv").resolve().name]


@pytest.mark.nightly
def test_another_environment_takes_over_the_same_version_and_the_old_one_goes(
    served: tuple[Machine, Response], two_layers: CompileResult
) -> None:
    machine, _ = served
    before = program_of(machine)
    lock = stocked(machine.store, *wheels_to_serve(machine, "2"), imports=("probe",))
    response = machine.install(two_layers.artifact, two_layers.digest, wheelhouse=lock.digest)
    assert response.document["changed"] is True
    assert program_of(machine) == str(machine.home / f"venv-{lock.digest}/bin/python")
    assert not Path(before).exists()


def test_an_environment_that_something_runs_in_stays_until_it_has_ended(tmp_path: Path) -> None:
    busy = interpreter_of(environment_directory(tmp_path, "a" * 64))
    busy.parent.mkdir(parents=True)
    busy.symlink_to(sys.executable)
    command = [str(busy), "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as compiling:
        assert compiling.stdout is not None
        compiling.stdout.readline()  # the kernel names the program a moment after Popen returns
        keep_environments(tmp_path, set())
        assert busy.exists()
        compiling.communicate(b"\n")
    keep_environments(tmp_path, set())
    assert not busy.exists()
