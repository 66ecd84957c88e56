"""What the hosts of a deployment say of themselves: what they serve, for how long, and their log."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from artifacts.serve.requests import LogsRequest, StatusRequest
from provisioning.errors import AwsError
from provisioning.operations import Operation, operate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from provisioning.operations import HostCalls

_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class HostState:
    """What one host serves; `problem` says why it is not known."""

    instance_id: str
    accelerator: str
    serving: Mapping[str, Any] | None = None
    previous: str | None = None  # manifest digest of the version that `ship --rollback` would serve
    problem: str = ""

    @property
    def row(self) -> tuple[str, ...]:
        """Return host, version, lane, health, uptime, requests and errors as a person reads them."""
        if self.serving is None:
            return (self.instance_id, "-", "-", self.problem or "serves nothing", "-", "-", "-")
        health = "healthy" if self.serving["healthy"] else "not answering"
        if self.serving.get("in_rotation") is False:
            health += ", out of rotation"
        uptime, traffic = self.serving["uptime_s"], self.serving["traffic"]
        return (
            self.instance_id,
            self.serving["digest"][:12],
            self.serving["lane"],
            health,
            "-" if uptime is None else f"{uptime:.0f} s",
            *("-" if traffic is None else str(traffic[name]) for name in ("requests", "errors")),
        )

    def as_document(self) -> dict[str, Any]:
        """Return the state as JSON."""
        return {
            "id": self.instance_id,
            "accelerator": self.accelerator,
            "serving": self.serving,
            "previous": self.previous,
            "problem": self.problem or None,
        }


def observe_hosts(calls: HostCalls) -> tuple[HostState, ...]:
    """Ask the hosts what they serve, if Systems Manager reaches all of a kind now; nobody is waited for."""
    ids = [host.instance_id for host in calls.deployment.hosts]
    online = {
        host.instance_id
        for start in range(0, len(ids), 50)
        for host in calls.aws.ssm.managed_hosts(ids[start : start + 50])
        if host.ping == "Online"
    }
    return tuple(state for name in calls.deployment.accelerators for state in _states(calls, name, online))


def _states(calls: HostCalls, accelerator: str, online: set[str]) -> tuple[HostState, ...]:
    ids = [host.instance_id for host in calls.deployment.hosts_of(accelerator)]
    offline = set(ids) - online
    problem, responses = ("not asked", {}) if offline else _asked(calls, accelerator)
    return tuple(
        HostState(
            instance_id=name,
            accelerator=accelerator,
            serving=responses.get(name, {}).get("serving"),
            previous=responses.get(name, {}).get("previous"),
            problem="not online" if name in offline else problem,
        )
        for name in ids
    )


def _asked(calls: HostCalls, accelerator: str) -> tuple[str, Mapping[str, dict[str, Any]]]:
    request = StatusRequest(id=uuid.uuid4().hex)
    try:
        return "", operate(
            calls, accelerator, Operation(name="status", request=request, timeout_s=_TIMEOUT_S)
        )
    except AwsError as error:  # a status that tells of trouble must not be in trouble itself
        return error.message.splitlines()[0], {}


def read_logs(calls: HostCalls, accelerator: str, lines: int) -> Mapping[str, dict[str, Any]]:
    """Return the end of each host's server logs, by instance id and then by port."""
    request = LogsRequest(id=uuid.uuid4().hex, lines=lines)
    return operate(calls, accelerator, Operation(name="logs", request=request, timeout_s=_TIMEOUT_S))
