"""A wheelhouse goes into the bucket once: every wheel under its digest, and the lock when all are there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from artifacts.serve.bundle import bundle_digest
from artifacts.serve.requests import InstallRequest, parse_request
from artifacts.serve.wheelhouse import Wheelhouse
from provisioning import operations, shipping
from provisioning.errors import WheelsMissing
from provisioning.shipping import Package, ship
from provisioning.supplying import supply, unsent
from provisioning.wheelhouse import Gathered
from tests.artifacts.serve.wheels import described
from tests.provisioning.operated import World

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def world() -> World:
    world = World()
    world.declared.ssm.declare_agent("i-1")
    world.answers({"ok": True, "changed": True})
    return world


def gathered(folder: Path, *names: str) -> Gathered:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{name}-1-py3-none-any.whl" for name in ("pip", *names)]
    for path in paths:
        path.write_bytes(path.name.encode() * 10)
    lock = Wheelhouse(
        pythons=("3.11",),
        architecture="x86_64",
        beside=False,
        imports=(),
        wheels=tuple(described(path) for path in paths),
    )
    (folder / "lock.json").write_bytes(lock.to_json())
    return Gathered(lock=lock, folder=folder)


def sent(world: World) -> list[str]:
    return [key for verb, key, _ in world.bucket.requests if verb == "PUT"]


def test_the_lock_comes_last_and_a_second_time_one_question_is_all(world: World, tmp_path: Path) -> None:
    wheels = gathered(tmp_path / "first", "torch", "mosec")
    assert supply(world.calls, wheels) == wheels.lock.size
    *of_wheels, last = sent(world)
    assert sorted(of_wheels) == sorted(wheel.key for wheel in wheels.lock.wheels)
    assert last == wheels.lock.key
    for again in (unsent, supply):
        world.bucket.requests.clear()
        assert not again(world.calls, wheels)
        assert world.bucket.requests == [("HEAD", wheels.lock.key, 0)]


def test_which_of_many_wheels_are_there_is_one_question(world: World, tmp_path: Path) -> None:
    wheels = gathered(tmp_path / "first", *(f"package{number}" for number in range(40)))
    assert unsent(world.calls, wheels) == wheels.lock.wheels
    assert [verb for verb, _, _ in world.bucket.requests] == ["HEAD", "LIST"]


def test_a_wheel_that_arrived_in_part_is_sent_again(world: World, tmp_path: Path) -> None:
    wheels = gathered(tmp_path / "first", "torch")
    world.bucket.objects[wheels.lock.wheels[-1].key] = b"half"
    assert unsent(world.calls, wheels) == wheels.lock.wheels


def test_a_lock_that_somebody_put_over_ours_vouches_for_no_wheel(world: World, tmp_path: Path) -> None:
    wheels = gathered(tmp_path / "first", "torch")
    world.bucket.put_object("box", wheels.lock.key, wheels.lock.to_json())  # the same bytes, without our note
    assert supply(world.calls, wheels) == wheels.lock.size
    assert supply(world.calls, wheels) == 0


def test_another_set_sends_only_the_wheels_that_are_new(world: World, tmp_path: Path) -> None:
    supply(world.calls, gathered(tmp_path / "first", "torch"))
    world.bucket.requests.clear()
    second = gathered(tmp_path / "second", "torch", "mosec")
    new = second.lock.wheels[-1]
    assert unsent(world.calls, second) == (new,)
    assert supply(world.calls, second) == new.size
    assert sent(world) == [new.key, second.lock.key]


def test_an_upload_that_broke_off_has_no_lock_and_goes_on(world: World, tmp_path: Path) -> None:
    wheels = gathered(tmp_path / "first", "torch", "mosec")
    (wheels.folder / wheels.lock.wheels[-1].filename).write_bytes(b"changed since")
    with pytest.raises(WheelsMissing, match="has been changed since"):
        supply(world.calls, wheels)
    assert wheels.lock.key not in world.bucket.objects
    world.bucket.requests.clear()
    supply(world.calls, gathered(tmp_path / "first", "torch", "mosec"))
    assert sent(world) == [wheels.lock.wheels[-1].key, wheels.lock.key]


def test_a_wheel_that_somebody_put_over_ours_is_mended_by_sending_all_again(
    world: World, tmp_path: Path
) -> None:
    wheels = gathered(tmp_path / "first", "torch")
    supply(world.calls, wheels)
    key = wheels.lock.wheels[-1].key
    good, world.bucket.objects[key] = world.bucket.objects[key], b"somebody else's"
    assert supply(world.calls, wheels) == 0  # the lock is there, so nothing is looked at
    assert supply(world.calls, wheels, resend=True) == wheels.lock.size
    assert world.bucket.objects[key] == good


@pytest.fixture
def package(tmp_path: Path) -> Package:
    artifact = tmp_path / "net.aei"
    artifact.write_bytes(b"x")
    return Package(
        path=artifact,
        size=1,
        digest="d" * 64,
        accelerator="c7i.xlarge",
        name="net",
        lane="trace",
    )


def test_hosts_are_told_which_wheelhouse_to_serve_from(
    world: World, package: Package, tmp_path: Path
) -> None:
    wheels = gathered(tmp_path / "first", "torch")
    ship(world.calls, package, wheels=wheels)
    (command,) = world.declared.ssm.sent
    request = parse_request(world.bucket.objects[f"artifacts/requests/{command.parameters['Request']}.json"])
    assert isinstance(request, InstallRequest)
    assert request.wheelhouse == wheels.lock.digest
    assert wheels.lock.key in world.bucket.objects


def asked(
    world: World, package: Package, wheels: Gathered | None, *, resend: bool = False
) -> list[tuple[str, str]]:
    """Ship; return every request to S3 as its operation and the key's kind, hosts' answers left out."""
    world.bucket.requests.clear()
    ship(world.calls, package, wheels=wheels, resend=resend)
    requests = [(verb, key) for verb, key, _ in world.bucket.requests if not key.startswith("results/")]
    return [(verb, key.split("/")[1]) for verb, key in requests]


LITTLE = [("HEAD", "models"), ("PUT", "requests")]


def test_an_unchanged_ship_is_one_question_and_the_request_to_the_hosts(
    world: World, package: Package, tmp_path: Path
) -> None:
    wheels = gathered(tmp_path / "first", "torch")
    first = asked(world, package, wheels)
    # What the recipe vouches for is there before the recipe.
    assert first.index(("PUT", "models")) > max(
        first.index(("PUT", kind)) for kind in ("bundles", "wheels", "wheelhouses", "pieces")
    )
    assert asked(world, package, wheels) == LITTLE
    assert asked(world, package, wheels) == LITTLE


def test_other_wheels_are_looked_for_and_noted(world: World, package: Package, tmp_path: Path) -> None:
    one, other = gathered(tmp_path / "one", "torch"), gathered(tmp_path / "other", "torch", "mosec")
    asked(world, package, one)
    recipe = world.bucket.objects[package.key]
    assert asked(world, package, other) == [
        ("HEAD", "models"),
        ("HEAD", "wheelhouses"),
        ("LIST", "wheels"),
        ("PUT", "wheels"),
        ("PUT", "wheelhouses"),
        ("PUT", "models"),
        ("PUT", "requests"),
    ]
    assert world.bucket.objects[package.key] == recipe
    assert asked(world, package, other) == LITTLE
    # Back again: they are there, which the note says no longer.
    back = [("HEAD", "models"), ("HEAD", "wheelhouses"), ("PUT", "models"), ("PUT", "requests")]
    assert asked(world, package, one) == back


def test_who_ships_without_wheels_forgets_no_note(world: World, package: Package, tmp_path: Path) -> None:
    wheels = gathered(tmp_path / "first", "torch")
    asked(world, package, None)
    assert ("PUT", "wheelhouses") in asked(world, package, wheels)
    assert asked(world, package, None) == LITTLE
    assert asked(world, package, wheels) == LITTLE


def test_another_artifact_asks_for_the_same_wheels_once(
    world: World, package: Package, tmp_path: Path
) -> None:
    wheels = gathered(tmp_path / "first", "torch")
    asked(world, package, wheels)
    second = replace(package, digest="e" * 64)
    assert not {("LIST", "wheels"), ("PUT", "wheels"), ("PUT", "wheelhouses")} & set(
        asked(world, second, wheels)
    )
    assert asked(world, second, wheels) == asked(world, package, wheels) == LITTLE


def test_host_code_of_another_version_is_sent_and_noted(
    world: World, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(world, package, None)
    for module in (operations, shipping):
        monkeypatch.setattr(module, "build_bundle", lambda: b"of the next version")
    upgraded = [("HEAD", "models"), ("HEAD", "bundles"), ("PUT", "bundles"), ("PUT", "models")]
    assert asked(world, package, None) == [*upgraded, ("PUT", "requests")]
    assert asked(world, package, None) == LITTLE
    assert world.declared.ssm.sent[-1].parameters["Bundle"] == bundle_digest(b"of the next version")


def test_a_recipe_that_somebody_put_over_ours_vouches_for_nothing(
    world: World, package: Package, tmp_path: Path
) -> None:
    wheels = gathered(tmp_path / "first", "torch")
    asked(world, package, wheels)
    world.bucket.notes[package.key] = {}
    assert {("HEAD", "bundles"), ("HEAD", "wheelhouses")} < set(asked(world, package, wheels))
    assert asked(world, package, wheels) == LITTLE


def test_what_somebody_deleted_comes_back_by_sending_all_again(
    world: World, package: Package, tmp_path: Path
) -> None:
    wheels = gathered(tmp_path / "first", "torch")
    asked(world, package, wheels)
    there = dict(world.bucket.objects)
    for key in there:
        if not key.startswith("artifacts/models/"):
            del world.bucket.objects[key]
    assert asked(world, package, wheels) == LITTLE  # hosts will tell: tests/artifacts/serve
    asked(world, package, wheels, resend=True)
    requests = {key for key in there if key.startswith("artifacts/requests/")}
    assert there.keys() - requests <= world.bucket.objects.keys()
    assert asked(world, package, wheels) == LITTLE


def test_no_recipe_vouches_for_wheels_that_did_not_arrive(
    world: World, package: Package, tmp_path: Path
) -> None:
    wheels = gathered(tmp_path / "first", "torch")
    (wheels.folder / wheels.lock.wheels[-1].filename).write_bytes(b"changed since")
    asked(world, package, None)
    with pytest.raises(WheelsMissing):
        asked(world, package, wheels)
    assert "wheelhouse" not in world.bucket.notes[package.key]
