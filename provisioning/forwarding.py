"""Reach the server on a private host from this machine: a port forwarded by a Systems Manager session.

The session's data goes through AWS's `session-manager-plugin`, which is installed by the user; it is started
as the AWS command line starts it (awscli/customizations/sessionmanager.py).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from artifacts.errors import BadRequest
from provisioning.errors import AccessDenied, HostFailed, PluginMissing
from provisioning.hosts import observe_hosts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from provisioning.aws import Aws
    from provisioning.aws.ssm import SessionRecord
    from provisioning.operations import HostCalls

PLUGIN = "session-manager-plugin"
PLUGIN_PAGE = (
    "https://docs.aws.amazon.com/systems-manager/latest/userguide/"
    "session-manager-working-with-install-plugin.html"
)
DOCUMENT = "AWS-StartPortForwardingSession"
# Newer plugins read the session's secret from a variable, so that it is in no process list.
SECRET_VARIABLE = "AWS_SSM_START_SESSION_RESPONSE"  # noqa: S105 - a name
FIRST_WITH_VARIABLE = (1, 2, 498, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarding:
    """A port of a host, and the port of this machine that leads there."""

    instance_id: str
    address: str  # where the server listens on its host
    port: int
    local_port: int

    @property
    def parameters(self) -> dict[str, list[str]]:
        """The document's parameters."""
        return {"portNumber": [str(self.port)], "localPortNumber": [str(self.local_port)]}

    @property
    def url(self) -> str:
        """Where the server is reached from this machine."""
        return f"http://127.0.0.1:{self.local_port}"

    def by_hand(self, region: str) -> str:
        """Return the command that does the same with the AWS command line."""
        parameters = f"portNumber={self.port},localPortNumber={self.local_port}"
        return (
            f"aws ssm start-session --region {region} --target {self.instance_id} "
            f"--document-name {DOCUMENT} --parameters {parameters}"
        )


def find_server(calls: HostCalls, accelerator: str, local_port: int) -> Forwarding:
    """Return how to reach the first host of the accelerator that serves; raise `HostFailed` without any."""
    states = [state for state in observe_hosts(calls) if state.accelerator == accelerator]
    for state in states:
        if state.serving is not None and state.serving["healthy"]:
            return Forwarding(
                instance_id=state.instance_id,
                address=state.serving["address"],
                port=state.serving["port"],
                local_port=local_port or state.serving["port"],
            )
    problems = "; ".join(f"{state.instance_id}: {state.problem or 'serves nothing'}" for state in states)
    raise HostFailed(
        f"No {accelerator} host answers ({problems}).", "Ship an artifact: amazonei ship ARTIFACT"
    )


def plugin_command(
    session: SessionRecord, forwarding: Forwarding, version: str, where: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    """Return the plugin's command line and variables; `where` is region, profile and endpoint."""
    region, profile, endpoint = where
    secret = json.dumps(
        {"SessionId": session.session_id, "TokenValue": session.token, "StreamUrl": session.stream_url}
    )
    by_variable = _numbers(version) >= FIRST_WITH_VARIABLE
    request = {
        "Target": forwarding.instance_id,
        "DocumentName": DOCUMENT,
        "Parameters": forwarding.parameters,
    }
    command = [PLUGIN, SECRET_VARIABLE if by_variable else secret, region, "StartSession", profile]
    command += [json.dumps(request), endpoint]
    return command, {SECRET_VARIABLE: secret} if by_variable else {}


def _numbers(version: str) -> tuple[int, ...]:
    """Return a version's numbers; nothing for what is none, which then counts as old."""
    parts = version.strip().split(".")
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else ()


def forward(aws: Aws, forwarding: Forwarding, profile: str, run: Callable[..., Any] = subprocess.run) -> int:
    """Hold the port open until the plugin ends; return its exit code. The session is ended whatever happens.

    Raises `PluginMissing` before a session is started, with the command to use instead.
    """
    plugin = shutil.which(PLUGIN)
    if plugin is None:
        raise PluginMissing(
            f"{PLUGIN} is not installed; it carries the forwarded data.",
            f"Install it ({PLUGIN_PAGE}), then repeat this, or: {forwarding.by_hand(aws.region)}",
        )
    version = run([plugin, "--version"], check=False, capture_output=True, text=True).stdout
    session = aws.ssm.start_session(forwarding.instance_id, DOCUMENT, forwarding.parameters)
    try:
        where = (aws.region, profile, aws.ssm.endpoint_url)
        command, variables = plugin_command(session, forwarding, version, where)
        environment: Mapping[str, str] = {**os.environ, **variables}
        return int(run([plugin, *command[1:]], check=False, env=environment).returncode)
    finally:
        # Whoever assumed a role has no user name, which the policy goes by; the plugin's end is one too, and
        # AWS ends what is idle for 20 minutes.
        with suppress(AccessDenied):
            aws.ssm.terminate_session(session.session_id)


def refuse_port(port: int) -> None:
    """Raise `BadRequest` where this machine has the port in use already."""
    import socket

    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BadRequest(
                f"Port {port} of this machine cannot be used: {error.strerror}.", "Pass another --local-port."
            ) from error
