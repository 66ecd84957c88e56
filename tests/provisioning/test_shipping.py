from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from artifacts.serve.requests import InstallRequest, RollbackRequest, parse_request
from provisioning.aws.ssm import CommandRecord
from provisioning.errors import (
    AccessDenied,
    AwsError,
    AwsUnreachable,
    CredentialsMissing,
    HostFailed,
    NotFound,
)
from provisioning.shipping import Package, roll_back, ship, upload
from tests.provisioning.operated import TAGS, World

if TYPE_CHECKING:
    from pathlib import Path

    from artifacts.serve.requests import AnyRequest


@pytest.fixture
def package(tmp_path: Path) -> Package:
    path = tmp_path / "net.aei"
    path.write_bytes(b"x" * 1000)
    digest = "d" * 64
    return Package(
        path=path,
        size=1000,
        digest=digest,
        accelerator="c7i.xlarge",
        name="net",
        lane="trace",
    )


def fleet(hosts: int, *walk: str) -> World:
    world = World()
    world.declared.ec2.hosts.clear()
    for number in range(hosts):
        world.declared.ec2.declare_host(f"i-{number:03}", TAGS)
        world.declared.ssm.declare_agent(f"i-{number:03}", *walk)
    world.answers({"ok": True, "changed": True})
    world.calls = world.with_hosts()
    return world


def asked(world: World) -> list[AnyRequest]:
    digests = [sent.parameters["Request"] for sent in world.declared.ssm.sent]
    return [parse_request(world.bucket.objects[f"artifacts/requests/{digest}.json"]) for digest in digests]


@pytest.mark.parametrize("hosts", [1, 50, 500])
def test_a_fleet_of_any_size_costs_one_upload_and_one_command(hosts: int, package: Package) -> None:
    world = fleet(hosts)
    responses = ship(world.calls, package)
    assert len(responses) == hosts
    sent = [key for verb, key, _ in world.bucket.requests if verb == "PUT"]
    counted = Counter(key.split("/")[1] for key in sent)
    assert counted == {"pieces": 1, "models": 1, "bundles": 1, "requests": 1}
    pages = -(-hosts // 50)
    assert Counter(world.declared.ssm.calls) == {
        "SendCommand": 1,
        "DescribeInstanceInformation": pages,
        "ListCommandInvocations": 2 * pages,
    }
    (command,) = world.declared.ssm.sent
    assert (command.max_concurrency, command.max_errors) == ("50", "0")


@pytest.mark.parametrize(("hosts", "wanted", "wave"), [(5, 50, "2"), (5, 1, "1"), (1, 50, "1")])
def test_behind_a_balancer_at_most_half_of_the_hosts_switch_at_once(
    hosts: int, wanted: int, wave: str, package: Package
) -> None:
    world = fleet(hosts)
    stack = world.declared.cloudformation.declare_stack("demo").record
    balanced = replace(stack, outputs={"BalancerUrl": "https://a.elb"})
    deployment = replace(world.calls.deployment, stacks=(balanced,))
    world.calls = replace(world.calls, deployment=deployment)
    ship(world.calls, package, wave=wanted)
    roll_back(world.calls, "c7i.xlarge")
    concurrency = [command.max_concurrency for command in world.declared.ssm.sent]
    assert concurrency == [wave, str(max(1, hosts // 2))]
    assert not replace(deployment, stacks=(stack,)).is_balanced("c7i.xlarge")


def test_shipping_again_asks_once_and_sends_no_data(package: Package) -> None:
    world = fleet(1)
    ship(world.calls, package)
    world.bucket.requests.clear()
    assert upload(world.calls, package).bytes == 0
    assert world.bucket.requests == [("HEAD", package.key, 0)]


def test_other_operations_look_for_the_host_code_themselves(package: Package) -> None:
    world = fleet(1)
    ship(world.calls, package)
    world.bucket.requests.clear()
    roll_back(world.calls, "c7i.xlarge")
    assert [key.split("/")[1] for verb, key, _ in world.bucket.requests if verb == "HEAD"] == ["bundles"]


def test_a_recipe_that_somebody_put_over_ours_is_sent_again(package: Package) -> None:
    world = fleet(1)
    ours = upload(world.calls, package)
    recipe = world.bucket.objects[package.key]
    world.bucket.objects[package.key] = b"y" * len(recipe)
    world.bucket.notes[package.key] = {}
    assert upload(world.calls, package).sha256 == ours.sha256
    assert world.bucket.objects[package.key] == recipe


def test_a_response_that_came_with_the_list_is_not_fetched(package: Package) -> None:
    world = fleet(0)
    world.declared.ec2.declare_host("i-1", TAGS)
    world.declared.ssm.declare_agent("i-1")
    world.calls = world.with_hosts()
    world.declared.ssm.on_look = lambda: world.declared.ssm.declare_agent(
        "i-1", stdout=json.dumps({"ok": True, "id": asked(world)[0].id, "changed": False}) + "\nsteps"
    )
    assert ship(world.calls, package)["i-1"]["changed"] is False
    assert not [key for verb, key, _ in world.bucket.requests if verb == "GET"]


def test_what_a_failed_wave_has_switched_goes_back(package: Package) -> None:
    world = fleet(3)
    ssm = world.declared.ssm
    ssm.declare_agent("i-001", "Failed", code=5)
    ssm.declare_agent("i-002", "unlisted")
    ssm.state = CommandRecord(status="Failed", detail="Failed")
    failure = {"ok": False, "error": {"code": "serve-failed", "message": "no golden", "hint": "its log"}}
    world.bucket.respond = lambda key: json.dumps(failure).encode() if "i-001" in key else None
    looks: list[int] = []

    def all_well_the_second_time() -> None:
        looks.append(len(ssm.sent))
        if len(ssm.sent) == 2:
            for number in range(3):
                ssm.declare_agent(f"i-{number:03}")
            world.answers({"ok": True, "changed": len(looks) > 0})

    ssm.on_look = all_well_the_second_time
    with pytest.raises(HostFailed) as caught:
        ship(world.calls, package)
    install, undo = asked(world)
    assert isinstance(install, InstallRequest)
    assert undo == RollbackRequest(id=undo.id, undoing=install.id)
    assert caught.value.message.splitlines() == [
        "install failed on i-001: no golden",
        "(1 of 3 hosts failed, 1 never began.)",
        "Hosts that had switched and serve the version from before again: 3.",
    ]
    assert caught.value.hint == "its log"


@pytest.mark.parametrize(
    "obstacle",
    [
        AccessDenied("You may not send commands."),
        AwsUnreachable("No answer from the endpoint."),
        CredentialsMissing("The credentials have expired."),
        NotFound("There is no host with these tags."),
    ],
    ids=lambda error: error.code,
)
def test_what_keeps_a_failed_ship_from_going_back_does_not_hide_why_it_failed(
    obstacle: AwsError, package: Package
) -> None:
    world = fleet(2)
    ssm = world.declared.ssm
    ssm.declare_agent("i-001", "Failed", code=5)
    world.answers({"ok": False, "error": {"code": "serve-failed", "message": "no golden", "hint": "its log"}})
    ssm.on_look = lambda: setattr(ssm, "refusal", obstacle)
    with pytest.raises(HostFailed) as caught:
        ship(world.calls, package)
    assert caught.value.message.splitlines() == [
        "install failed on i-001: no golden",
        "(1 of 2 hosts failed.)",
        f"Rolling back what had switched failed too: {obstacle.message}",
    ]
    assert (caught.value.hint, caught.value.aws_code) == ("its log", "serve-failed")


def test_an_interruption_while_going_back_tells_why_it_went_back(package: Package) -> None:
    world = fleet(2)
    ssm = world.declared.ssm
    ssm.declare_agent("i-001", "Failed", code=5)
    world.answers({"ok": False, "error": {"code": "serve-failed", "message": "no golden", "hint": "its log"}})

    def interrupt_the_second_command() -> None:
        if len(ssm.sent) == 2:
            raise KeyboardInterrupt

    ssm.on_look = interrupt_the_second_command
    with pytest.raises(KeyboardInterrupt) as caught:
        ship(world.calls, package)
    command, why = caught.value.__notes__
    assert command.startswith("Its command command-2 goes on without it, on i-000, i-001, ")
    assert why.startswith("It was taking back what had switched, because: install failed on i-001: no golden")


def test_rolling_back_asks_every_host_without_an_upload() -> None:
    world = fleet(2)
    responses = roll_back(world.calls, "c7i.xlarge")
    assert sorted(responses) == ["i-000", "i-001"]
    assert asked(world) == [RollbackRequest(id=asked(world)[0].id)]
    assert not [key for _, key, _ in world.bucket.requests if key.startswith("artifacts/models/")]
