"""An installation: how many workers it starts, and what is left where it is broken off."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors import torch as safetensors

from artifacts.errors import BadRequest, ServeFailed
from artifacts.manifest import Toolchain
from artifacts.serve import switching
from artifacts.serve.current import clear_current, read_current
from artifacts.serve.installation import install
from artifacts.serve.requests import RollbackRequest
from artifacts.serve.rollback import roll_back
from artifacts.serve.rotation import Rotation
from artifacts.serve.scale import Scale
from artifacts.serve.versions import (
    Previous,
    note_previous,
    put_version,
    read_previous,
    verify_version,
)
from tests.artifacts.serve.staged import Theatre

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from artifacts.compile.request import CompileResult
    from artifacts.serve.requests import InstallRequest
    from tests.artifacts.serve.conftest import Machine

    NewTheatre = Callable[..., Theatre]
    NewMachine = Callable[..., Machine]

PIPELINE = "neuroncore-pipeline-cores=8"


@pytest.fixture
def new_theatre(tmp_path: Path) -> Iterator[NewTheatre]:
    made: list[Theatre] = []

    def make(**options: object) -> Theatre:
        made.append(Theatre(root=tmp_path / str(len(made)), **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for theatre in made:
        for port in theatre.stage.ports:
            theatre.stage.stop(port)


def for_neuron(compiler: str, *flags: str) -> dict[str, Toolchain]:
    toolchain = Toolchain(torch="2.9.0", python="3.11", compiler=compiler, compiler_version="1", flags=flags)
    return {"toolchain": toolchain}


@pytest.mark.parametrize(
    ("accelerator", "chips", "asked", "workers"),
    [
        ("inf2.xlarge", 1, 0, 2),  # two NeuronCores, eight vCPUs
        ("inf2.xlarge", 1, 8, 2),
        ("inf2.xlarge", 1, 1, 1),
        ("inf1.6xlarge", 4, 0, 2),  # a pipeline of eight cores
        ("inf2.xlarge", 0, 0, 8),  # no device: what is wrong is told by who tries to load
    ],
)
def test_a_host_starts_no_more_workers_than_it_has_neuron_cores_for(
    new_theatre: NewTheatre,
    monkeypatch: pytest.MonkeyPatch,
    accelerator: str,
    chips: int,
    asked: int,
    workers: int,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    theatre = new_theatre(accelerator=accelerator, chips=chips)
    first = accelerator.startswith("inf1")
    toolchain = for_neuron("torch-neuron", PIPELINE) if first else for_neuron("torch-neuronx")
    request = theatre.asked(manifest=toolchain, scale=Scale(workers=asked))
    answer = install(theatre.host, request)
    assert (answer["workers"], answer["changed"]) == (workers, True)
    assert [spec.workers for spec in theatre.stage.started] == [workers]
    limited = f"{workers} workers, not {asked}: there are NeuronCores for no more"
    assert (limited in theatre.told) is (asked > workers)
    assert install(theatre.host, request)["changed"] is False, "what was limited is what was asked for"


def test_an_emulated_host_has_no_chips_of_the_machine_it_runs_on(new_theatre: NewTheatre) -> None:
    theatre = new_theatre(accelerator="inf2.xlarge", chips=1, emulated=True)
    request = theatre.asked(manifest=for_neuron("torch-neuronx"), scale=Scale(workers=3))
    assert install(theatre.host, request)["workers"] == 3


class JammedDoor:
    """A forwarder that fails from the moment when it is told to."""

    jammed = False

    def lead(self, port: int, to: int) -> None:
        if self.jammed:
            raise OSError(f"port {port} cannot be led to {to}")

    def shut(self, port: int) -> None:
        pass

    def leads_to(self, port: int) -> int | None:
        return None  # never in rotation, so what fails is to enter it


class JammedHealth(JammedDoor):
    """A forwarder that does not let go of the health port."""

    def shut(self, port: int) -> None:
        if self.jammed:
            raise OSError(f"port {port} cannot be shut")

    def leads_to(self, port: int) -> int | None:
        return 8080


def block(theatre: Theatre, name: str) -> None:
    """Let nobody write this file of the host's, as on a disk that is full."""
    (theatre.home / name).mkdir()


def jam(theatre: Theatre) -> None:
    assert theatre.rotation is not None
    theatre.rotation.forwarder.jammed = True  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("door", "fail"),
    [
        (None, lambda theatre: block(theatre, ".previous.json.partial")),
        (None, lambda theatre: block(theatre, ".current.json.partial")),
        (JammedHealth, jam),
    ],
    ids=["note", "switch", "rotation"],
)
def test_a_switch_that_fails_leaves_the_server_and_the_version_before_as_they_were(
    new_theatre: NewTheatre, door: type[JammedDoor] | None, fail: Callable[[Theatre], None]
) -> None:
    rotation = Rotation(door(), sleep=lambda _: None) if door else None
    theatre = new_theatre(rotation=rotation)
    first, second, third = (theatre.asked(name) for name in ("first", "second", "third"))
    install(theatre.host, first)
    install(theatre.host, second)
    served, before = read_current(theatre.home), read_previous(theatre.home)
    assert (served and served.port, before and before.digest) == (8081, first.manifest_digest)
    fail(theatre)
    with pytest.raises(OSError, match=r"partial|cannot be led"):
        install(theatre.host, third)
    assert theatre.stage.ports == {8081}
    assert (read_current(theatre.home), read_previous(theatre.home)) == (served, before)
    undone = roll_back(theatre.host, RollbackRequest(id="undo", undoing=third.id))
    assert undone == {"digest": second.manifest_digest, "changed": False}


def test_what_serves_already_is_not_stopped_when_the_rest_of_the_switch_fails(
    new_theatre: NewTheatre,
) -> None:
    theatre = new_theatre(rotation=Rotation(JammedDoor(), sleep=lambda _: None))
    first, second = theatre.asked("first"), theatre.asked("second")
    install(theatre.host, first)
    jam(theatre)
    with pytest.raises(OSError, match="cannot be led"):
        install(theatre.host, second)
    served, before = read_current(theatre.home), read_previous(theatre.home)
    assert (served and served.digest, before and before.left_by) == (second.manifest_digest, second.id)
    assert theatre.stage.ports == {8080, 8081}


def test_where_a_killed_command_had_only_noted_the_version_there_is_nothing_to_undo(
    new_theatre: NewTheatre,
) -> None:
    theatre = new_theatre()
    first = theatre.asked("first")
    install(theatre.host, first)
    note_previous(theatre.home, Previous(digest=first.manifest_digest, left_by="killed"))
    theatre.stage.start(replace(theatre.stage.started[0], port=8081))  # what that command had started
    undone = roll_back(theatre.host, RollbackRequest(id="undo", undoing="killed"))
    assert undone == {"digest": first.manifest_digest, "changed": False}
    assert theatre.stage.ports == {8080}


def test_a_command_that_is_killed_between_note_and_switch_loses_no_version(
    new_theatre: NewTheatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    theatre = new_theatre()
    first, second, third = (theatre.asked(name) for name in ("first", "second", "third"))
    install(theatre.host, first)
    install(theatre.host, second)
    before = read_previous(theatre.home)
    with monkeypatch.context() as patched:
        # A killed process runs no handler either.
        patched.setattr(switching, "switch_current", _die)
        patched.setattr(switching, "put_back_previous", lambda *_: None)
        with pytest.raises(SystemExit):
            install(theatre.host, third)
    assert before is not None
    assert read_previous(theatre.home) == before
    back = roll_back(theatre.host, RollbackRequest(id="back"))
    assert back["digest"] == first.manifest_digest
    left = read_previous(theatre.home)
    assert (left and left.digest, left and left.left_by) == (second.manifest_digest, "back")


def test_a_version_that_is_on_the_disk_no_more_is_none_to_go_back_to(new_theatre: NewTheatre) -> None:
    theatre = new_theatre()
    first, second, third = (theatre.asked(name) for name in ("first", "second", "third"))
    for each in (first, second, third):
        install(theatre.host, each)
    clear_current(theatre.home)  # by `stop`
    install(theatre.host, second)
    with pytest.raises(BadRequest, match="keeps no version from before"):
        roll_back(theatre.host, RollbackRequest(id="back"))


def _die(*_: object) -> None:
    raise SystemExit(137)


def test_a_command_that_is_ended_takes_what_it_started_with_it(
    new_machine: NewMachine, two_layers: CompileResult
) -> None:
    machine = new_machine()
    process = machine.begin(machine.asked(two_layers.artifact, two_layers.digest))
    deadline = time.monotonic() + 60
    while not (machine.home / "run" / "server-8080.json").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, steps = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, steps
    assert machine.processes() == []
    assert not (machine.home / "current.json").exists()


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"no tensors", "it is no tensors"),
        (safetensors.save({"other": torch.ones(1)}), "other, not output"),
    ],
)
def test_an_answer_of_another_kind_than_the_golden_one_is_told(
    new_theatre: NewTheatre, body: bytes, part: str
) -> None:
    theatre = new_theatre()
    theatre.stage.body = body
    with pytest.raises(ServeFailed, match=f"does not match its golden request's: {part}"):
        install(theatre.host, theatre.asked())
    assert theatre.stage.ports == set()


def version_of(theatre: Theatre, request: InstallRequest) -> Path:
    return theatre.host.settings.versions / request.manifest_digest


@pytest.mark.parametrize("file", ["golden.safetensors", "manifest.json"])
def test_files_that_were_changed_are_brought_anew_when_the_version_is_to_be_served_otherwise(
    new_theatre: NewTheatre, file: str
) -> None:
    theatre = new_theatre()
    request = theatre.asked(scale=Scale(workers=1))
    install(theatre.host, request)
    (version_of(theatre, request) / file).write_bytes(b"changed")
    again = replace(request, id="again", scale=Scale(workers=2))
    answer = install(theatre.host, again)
    assert (answer["workers"], answer["changed"]) == (2, True)
    assert verify_version(theatre.host.settings, request.manifest_digest).digest == request.manifest_digest
    assert [path.name for path in theatre.host.settings.versions.iterdir()] == [request.manifest_digest]


def test_a_version_that_was_moved_aside_is_back_when_the_new_one_does_not_come(
    new_theatre: NewTheatre, tmp_path: Path
) -> None:
    theatre = new_theatre()
    request = theatre.asked()
    install(theatre.host, request)
    settings = theatre.host.settings
    with pytest.raises(FileNotFoundError):
        put_version(settings, request.manifest_digest, tmp_path / "nothing")
    verify_version(settings, request.manifest_digest)
    assert [path.name for path in settings.versions.iterdir()] == [request.manifest_digest]
