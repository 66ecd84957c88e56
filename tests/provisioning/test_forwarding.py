from __future__ import annotations

import json
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

from artifacts.errors import BadRequest
from provisioning.aws.ssm import SessionRecord
from provisioning.errors import HostFailed, PluginMissing
from provisioning.forwarding import (
    DOCUMENT,
    SECRET_VARIABLE,
    Forwarding,
    find_server,
    forward,
    plugin_command,
    refuse_port,
)
from tests.provisioning.operated import World

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FORWARDING = Forwarding(instance_id="i-1", address="127.0.0.1", port=8081, local_port=9000)
SESSION = SessionRecord(session_id="me-1", token="secret", stream_url="wss://stream")
WHERE = ("us-west-2", "work", "https://ssm.us-west-2.amazonaws.com")
SECRET = {"SessionId": "me-1", "TokenValue": "secret", "StreamUrl": "wss://stream"}
REQUEST = {
    "Target": "i-1",
    "DocumentName": DOCUMENT,
    "Parameters": {"portNumber": ["8081"], "localPortNumber": ["9000"]},
}
# The plugin's documented arguments: response, region, operation, profile, request, endpoint.
_PLUGIN = """\
#!{python} -S
import os, sys
if sys.argv[1:] == ["--version"]:
    print({version!r})
else:
    with open({seen!r}, "w") as stream:
        print(*sys.argv[1:], os.environ.get("AWS_SSM_START_SESSION_RESPONSE", ""), sep="\\n", file=stream)
    sys.exit({code})
"""


class Sessions:
    """Systems Manager's part of it; notes what was started and ended."""

    endpoint_url = WHERE[2]

    def __init__(self) -> None:
        self.started: list[tuple[str, str, Mapping[str, Sequence[str]]]] = []
        self.ended: list[str] = []

    def start_session(
        self, instance_id: str, document: str, parameters: Mapping[str, Sequence[str]]
    ) -> SessionRecord:
        self.started.append((instance_id, document, parameters))
        return SESSION

    def terminate_session(self, session_id: str) -> None:
        self.ended.append(session_id)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def install(version: str = "1.2.764.0", code: int = 0) -> Path:
        seen, program = tmp_path / "seen", tmp_path / "session-manager-plugin"
        text = _PLUGIN.format(python=sys.executable, version=version, seen=str(seen), code=code)
        program.write_text(text, encoding="ascii")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return seen

    return install


def _world() -> tuple[World, Sessions]:
    world, sessions = World(), Sessions()
    world.declared.aws.ssm = sessions  # type: ignore[assignment]
    return world, sessions


def test_a_new_plugin_gets_its_secret_by_variable_and_an_old_one_as_its_argument() -> None:
    command, variables = plugin_command(SESSION, FORWARDING, "1.2.498.0\n", WHERE)
    assert command[:5] == ["session-manager-plugin", SECRET_VARIABLE, "us-west-2", "StartSession", "work"]
    assert json.loads(command[5]) == REQUEST
    assert command[6:] == [WHERE[2]]
    assert json.loads(variables[SECRET_VARIABLE]) == SECRET
    for version in ("1.2.497.0", "unknown", ""):
        command, variables = plugin_command(SESSION, FORWARDING, version, WHERE)
        assert json.loads(command[1]) == SECRET
        assert variables == {}


def test_the_plugin_is_started_with_the_session_and_the_session_is_ended(plugin: Any) -> None:
    seen = plugin()
    world, sessions = _world()
    assert forward(world.declared.aws, FORWARDING, "work") == 0
    assert sessions.started == [("i-1", DOCUMENT, FORWARDING.parameters)]
    assert sessions.ended == ["me-1"]
    argument, region, operation, profile, request, endpoint, secret = seen.read_text().splitlines()
    assert (argument, operation, profile, endpoint) == (SECRET_VARIABLE, "StartSession", "work", WHERE[2])
    assert region == world.declared.aws.region
    assert (json.loads(request), json.loads(secret)) == (REQUEST, SECRET)


def test_the_session_is_ended_when_the_plugin_fails_or_is_interrupted(plugin: Any) -> None:
    plugin(code=7)
    world, sessions = _world()
    assert forward(world.declared.aws, FORWARDING, "") == 7
    assert sessions.ended == ["me-1"]

    def interrupted(command: list[str], **options: Any) -> Any:
        if "--version" not in command:
            raise KeyboardInterrupt
        return type("Done", (), {"stdout": "1.2.764.0"})

    with pytest.raises(KeyboardInterrupt):
        forward(world.declared.aws, FORWARDING, "", run=interrupted)
    assert sessions.ended == ["me-1"] * 2


def test_without_the_plugin_no_session_is_started_and_the_way_by_hand_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    world, sessions = _world()
    with pytest.raises(PluginMissing) as caught:
        forward(world.declared.aws, FORWARDING, "")
    assert caught.value.exit_code == 3
    assert "session-manager-working-with-install-plugin" in caught.value.hint
    assert (
        f"--target i-1 --document-name {DOCUMENT} --parameters portNumber=8081,localPortNumber=9000"
        in caught.value.hint
    )
    assert sessions.started == []


def test_the_port_that_is_served_now_is_forwarded_to_one_of_the_same_number_or_the_one_asked_for() -> None:
    world = World()
    world.declared.ssm.declare_agent("i-1")
    serving = {"healthy": True, "port": 8081, "address": "127.0.0.1"}
    world.answers({"ok": True, "serving": serving})
    assert find_server(world.calls, "c7i.xlarge", 9000) == FORWARDING
    assert find_server(world.calls, "c7i.xlarge", 0).url == "http://127.0.0.1:8081"
    world.answers({"ok": True, "serving": None})
    with pytest.raises(HostFailed, match="i-1: serves nothing"):
        find_server(world.calls, "c7i.xlarge", 0)


def test_a_port_in_use_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadRequest, match=f"Port {port} of this machine cannot be used"):
            refuse_port(port)
    refuse_port(port)
