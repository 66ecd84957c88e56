"""Instance refreshes: a group replaces its hosts of an older launch template, a few at a time."""

from __future__ import annotations

import math
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from moto.autoscaling.exceptions import AutoscalingClientError
from moto.autoscaling.models import InstanceState
from moto.core.responses import ActionResult

from provisioning.emulator import datacenter
from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.wrapping import instead, wrap

if TYPE_CHECKING:
    from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup

_RESPONSE = "moto.autoscaling.responses:AutoScalingResponse."
# moto has neither.
_START = Anchor(_RESPONSE + "start_instance_refresh", "")
_DESCRIBE = Anchor(_RESPONSE + "describe_instance_refreshes", "")
_STATE = Anchor("moto.autoscaling.models:InstanceState.__init__", "f11be8c7a94fa086")
_POLL_S = 0.2
_BOOT_S = 600.0


class RefreshInProgress(AutoscalingClientError):
    """One refresh at a time."""

    code = "InstanceRefreshInProgress"


@dataclass(slots=True, kw_only=True)
class Refresh:
    """One refresh, as it is shown."""

    group: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "Pending"
    percent: int = 0
    reason: str = ""

    def answer(self) -> dict[str, Any]:
        """Return the refresh as the API shows it."""
        return {
            "InstanceRefreshId": self.id,
            "AutoScalingGroupName": self.group,
            "Status": self.status,
            "PercentageComplete": self.percent,
            "StatusReason": self.reason,
        }


_refreshes: dict[str, Refresh] = {}


def _own_template(state: InstanceState) -> dict[str, Any] | None:
    """Return the template a host was launched from, in the version of that moment."""
    group: Any = state.auto_scaling_group
    if group is None or group.ec2_launch_template is None:
        return None
    template = group.ec2_launch_template
    version = getattr(state.instance, "launched_version", str(group.launch_template_version))
    return {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "Version": version}


def _start(self: Any) -> ActionResult:
    name = self._get_param("AutoScalingGroupName")
    backend: AutoScalingBackend = self.autoscaling_backend
    if any(each.group == name and each.status in {"Pending", "InProgress"} for each in _refreshes.values()):
        raise RefreshInProgress(f"An instance refresh of {name} is already in progress")
    preferences = self._get_param("Preferences", {})
    least = int(preferences.get("MinHealthyPercentage", 90))
    refresh = Refresh(group=name)
    _refreshes[refresh.id] = refresh
    arguments = (backend, backend.autoscaling_groups[name], refresh, least)
    threading.Thread(target=_replace, args=arguments, name=f"refresh-{name}", daemon=True).start()
    return ActionResult({"InstanceRefreshId": refresh.id})


def _describe(self: Any) -> ActionResult:
    name = self._get_param("AutoScalingGroupName")
    wanted = self._get_param("InstanceRefreshIds", [])
    found = [each for each in _refreshes.values() if each.group == name and (not wanted or each.id in wanted)]
    return ActionResult({"InstanceRefreshes": [each.answer() for each in reversed(found)]})


def _replace(backend: AutoScalingBackend, group: FakeAutoScalingGroup, refresh: Refresh, least: int) -> None:
    """End those from another version in turn, each batch after the one before has come up again."""
    wanted = str(group.launch_template_version)
    old = [
        each.instance.id
        for each in group.instance_states
        if getattr(each.instance, "launched_version", wanted) != wanted
    ]
    size = len(group.instance_states)
    at_once = max(1, size - math.ceil(size * least / 100))
    refresh.status = "InProgress"
    for start in range(0, len(old), at_once):
        for instance_id in old[start : start + at_once]:
            backend.terminate_instance(instance_id, False)
        if not _all_up(group):
            refresh.status, refresh.reason = "Failed", "New instances did not come up"
            return
        refresh.percent = 100 * min(start + at_once, len(old)) // len(old)
    refresh.status, refresh.percent = "Successful", 100


def _all_up(group: FakeAutoScalingGroup) -> bool:
    center = datacenter.current()
    deadline = time.monotonic() + _BOOT_S
    while center is not None and time.monotonic() < deadline:
        hosts = [center.hypervisor.find(state.instance.id) for state in list(group.instance_states)]
        if all(host is not None and host.online for host in hosts):
            return True
        time.sleep(_POLL_S)
    return center is None


def _install() -> None:
    wrap((_START, instead(_start)), (_DESCRIBE, instead(_describe)))()
    InstanceState.launch_template = property(_own_template)  # type: ignore[method-assign, assignment]


CORRECTIONS = (
    Correction(
        name="instance-refresh",
        statement=(
            "A host is of the launch template version it was launched from, and an instance refresh replaces "
            "those of another one, a few at a time."
        ),
        source="https://docs.aws.amazon.com/autoscaling/ec2/userguide/asg-instance-refresh.html",
        anchors=(_START, _DESCRIBE, _STATE),
        install=_install,
    ),
)
