from __future__ import annotations

from typing import Any

from artifacts.serve.requests import LogsRequest, parse_request
from provisioning.hosts import observe_hosts, read_logs
from tests.provisioning.operated import TAGS, World

SERVING: dict[str, Any] = {"digest": "a" * 64, "lane": "trace", "healthy": True, "uptime_s": 12.4}
TRAFFIC = {"requests": 12, "refused": 3, "errors": 1, "waiting": 0}
SERVING["traffic"] = TRAFFIC


def test_each_host_tells_its_version_lane_health_uptime_requests_and_errors() -> None:
    world = World()
    world.declared.ssm.declare_agent("i-1")
    world.answers({"ok": True, "serving": SERVING, "previous": "b" * 64})
    (state,) = observe_hosts(world.calls)
    assert state.row == ("i-1", "a" * 12, "trace", "healthy", "12 s", "12", "1")
    assert state.as_document() == {
        "id": "i-1",
        "accelerator": "c7i.xlarge",
        "serving": SERVING,
        "previous": "b" * 64,
        "problem": None,
    }


def test_a_host_without_a_model_and_one_that_does_not_answer_are_told_apart() -> None:
    world = World()
    world.declared.ssm.declare_agent("i-1")
    world.answers({"ok": True, "serving": None, "previous": None})
    assert observe_hosts(world.calls)[0].row == ("i-1", "-", "-", "serves nothing", "-", "-", "-")
    world.answers({"ok": True, "serving": SERVING | {"healthy": False, "uptime_s": None, "traffic": None}})
    assert observe_hosts(world.calls)[0].row[3:] == ("not answering", "-", "-", "-")


def test_nobody_is_waited_for() -> None:
    world = World()
    world.declared.ssm.declare_agent("i-1")
    world.declared.ec2.declare_host("i-2", TAGS)  # never registers
    world.calls = world.with_hosts()
    assert [state.problem for state in observe_hosts(world.calls)] == ["not asked", "not online"]
    assert world.declared.ssm.sent == []


def test_a_host_that_fails_to_answer_is_shown_with_its_problem() -> None:
    world = World()
    world.declared.ssm.declare_agent("i-1", "Failed", code=5)
    world.answers({"ok": False, "error": {"message": "no disk"}})
    assert observe_hosts(world.calls)[0].problem == "status failed on i-1: no disk"


def test_logs_are_asked_for_by_number_of_lines() -> None:
    world = World()
    world.declared.ssm.declare_agent("i-1")
    world.answers({"ok": True, "port": 8080, "logs": {"8080": "ready"}})
    assert read_logs(world.calls, "c7i.xlarge", 7)["i-1"]["logs"] == {"8080": "ready"}
    (sent,) = world.declared.ssm.sent
    request = parse_request(world.bucket.objects[f"artifacts/requests/{sent.parameters['Request']}.json"])
    assert request == LogsRequest(id=request.id, lines=7)
