"""Scheduled actions of Auto Scaling groups: moto keeps them, here they happen when their time has come."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from moto.autoscaling.models import autoscaling_backends

if TYPE_CHECKING:
    from collections.abc import Iterator

    from moto.autoscaling.models import FakeAutoScalingGroup, FakeScheduledAction


@dataclass(slots=True, kw_only=True)
class GroupActions:
    """Carries out each one-time action once; an action that is set to another time happens again."""

    _done: set[tuple[str, str]] = field(default_factory=set)

    def carry_out(self, now: datetime) -> tuple[str, ...]:
        """Give every group whose action is due its new size; return the names of those groups."""
        due = list(self._due(now))
        for group, action in due:
            self._done.add((action.scheduled_action_name, str(action.start_time)))
            group.min_size = group.min_size if action.min_size is None else action.min_size
            group.max_size = group.max_size if action.max_size is None else action.max_size
            if action.desired_capacity is not None:
                group.set_desired_capacity(action.desired_capacity)
        return tuple(group.name for group, _ in due)

    def _due(self, now: datetime) -> Iterator[tuple[FakeAutoScalingGroup, FakeScheduledAction]]:
        backends = [backend for regions in autoscaling_backends.values() for backend in regions.values()]
        for backend in backends:
            for action in list(backend.scheduled_actions.values()):
                group = backend.autoscaling_groups.get(action.auto_scaling_group_name)
                done = (action.scheduled_action_name, str(action.start_time)) in self._done
                if group is not None and not done and _has_come(action.start_time, now):
                    yield group, action


def _has_come(start: str | datetime | None, now: datetime) -> bool:
    if start is None:
        return False
    moment = start if isinstance(start, datetime) else datetime.fromisoformat(start)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) <= now
