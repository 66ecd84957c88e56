from __future__ import annotations

import json
from typing import Any

import pytest

from artifacts.serve.requests import InstallRequest
from provisioning.serving import key_of, note_rolled_back, note_shipped
from tests.provisioning.operated import TAGS, World

OF_A_GROUP = {**TAGS, "aws:autoscaling:groupName": "fleet"}
ACCELERATOR = "c7i.xlarge"


@pytest.fixture
def fleet() -> World:
    world = World()
    world.declared.ec2.hosts.clear()
    world.declared.ec2.declare_host("i-1", OF_A_GROUP)
    world.calls = world.with_hosts()
    return world


def request(artifact: str, identifier: str = "one") -> InstallRequest:
    return InstallRequest(
        id=identifier,
        artifact_key=f"artifacts/models/{artifact * 64}.aei",
        artifact_bytes=1,
        artifact_sha256="5" * 64,
        manifest_digest=artifact * 64,
        accelerator=ACCELERATOR,
    )


def served(world: World) -> dict[str, Any]:
    """Return the manifests' first letters, as the bucket has them for hosts to come."""
    found = {}
    for which in ("current", "previous"):
        body = world.bucket.objects.get(key_of(ACCELERATOR, which))
        found[which] = None if body is None else json.loads(body).get("manifest", "")[:1]
    return found


def test_a_host_that_comes_later_is_told_the_request_and_the_code_that_installed_it(fleet: World) -> None:
    note_shipped(fleet.calls, request("a"))
    told = json.loads(fleet.bucket.objects["artifacts/serving/c7i.xlarge/current.json"])
    assert told["request"] == request("a").digest
    assert f"artifacts/bundles/{told['bundle']}.zip" in fleet.bucket.objects
    assert served(fleet) == {"current": "a", "previous": None}


def test_the_version_from_before_is_kept_and_going_back_exchanges_them(fleet: World) -> None:
    for artifact in ("a", "b"):
        note_shipped(fleet.calls, request(artifact))
    assert served(fleet) == {"current": "b", "previous": "a"}
    note_rolled_back(fleet.calls, ACCELERATOR)
    assert served(fleet) == {"current": "a", "previous": "b"}


def test_shipping_the_same_again_does_not_lose_the_version_from_before(fleet: World) -> None:
    for artifact, identifier in (("a", "one"), ("b", "two"), ("b", "three")):
        note_shipped(fleet.calls, request(artifact, identifier))
    assert served(fleet) == {"current": "b", "previous": "a"}


def test_without_a_version_from_before_hosts_to_come_serve_nothing_after_going_back(fleet: World) -> None:
    note_shipped(fleet.calls, request("a"))
    note_rolled_back(fleet.calls, ACCELERATOR)
    assert served(fleet) == {"current": "", "previous": "a"}


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"bundle": "x"}'])
def test_an_object_that_no_ship_wrote_is_replaced(fleet: World, body: bytes) -> None:
    fleet.bucket.objects[key_of(ACCELERATOR, "current")] = body
    note_shipped(fleet.calls, request("a"))
    assert served(fleet) == {"current": "a", "previous": None}


def test_a_single_host_is_brought_back_by_nothing_and_costs_no_request() -> None:
    world = World()
    note_shipped(world.calls, request("a"))
    note_rolled_back(world.calls, ACCELERATOR)
    assert world.bucket.requests == []
