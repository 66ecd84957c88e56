"""Stacks with scripted endings, which go on by one event each time their events are asked for."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from provisioning.aws.cloudformation import (
    STACK_TYPE,
    ChangeSetRecord,
    ChangeSetRequest,
    CloudFormation,
    StackEvent,
    StackRecord,
    StackResource,
)
from provisioning.deployment import TAG_DEPLOYMENT
from provisioning.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.provisioning.declared_buckets import DeclaredS3

START = datetime(2026, 11, 21, tzinfo=UTC)


@dataclass
class DeclaredStack:
    record: StackRecord
    resources: tuple[StackResource, ...]
    history: list[StackEvent] = field(default_factory=list)
    coming: deque[StackEvent] = field(default_factory=deque)
    change_sets: dict[str, ChangeSetRecord] = field(default_factory=dict)
    imported_by: set[str] = field(default_factory=set)


class DeclaredCloudFormation(CloudFormation):
    """Stacks that go on by one event each time their events are asked for."""

    def __init__(self, s3: DeclaredS3) -> None:
        self.s3 = s3
        self.all: dict[str, DeclaredStack] = {}  # by id
        self.calls: list[str] = []
        self.requests: list[ChangeSetRequest] = []
        self._refusal: str | None = None
        self._failure: tuple[str, str, str] | None = None
        self._outputs: dict[str, str] = {}
        self._events = 0
        self._hangs = False

    # what a test declares

    def declare_stack(
        self,
        name: str,
        *,
        status: str = "CREATE_COMPLETE",
        tags: Mapping[str, str] | None = None,
        resources: Mapping[str, str] | None = None,  # physical id -> type
        protected: bool = False,
    ) -> DeclaredStack:
        stack_id = f"arn:{name}/{len(self.all)}"
        record = StackRecord(
            id=stack_id,
            name=name,
            status=status,
            reason="",
            parameters={},
            outputs={},
            tags={TAG_DEPLOYMENT: "demo"} if tags is None else tags,
            protected=protected,
            created=START,
        )
        made = tuple(
            StackResource(logical_id=f"L-{key}", physical_id=key, type=kind, status="CREATE_COMPLETE")
            for key, kind in (resources or {}).items()
        )
        stack = DeclaredStack(record, made)
        self.all[stack_id] = stack
        stack.history.append(self._event(stack, status))
        return stack

    def declare_change_set(self, stack: str, tags: Mapping[str, str]) -> None:
        record = ChangeSetRecord(name="left", status="CREATE_COMPLETE", reason="", tags=tags)
        self._find(stack).change_sets["left"] = record

    def declare_running(self, stack: DeclaredStack, *statuses: str) -> None:
        stack.coming.extend(self._event(stack, status) for status in statuses)

    def declare_import(self, exporter: DeclaredStack, importer: str) -> None:
        exporter.imported_by.add(importer)

    def the_change_set_will_be_refused(self, reason: str) -> None:
        self._refusal = reason

    def the_change_will_fail(self, logical_id: str, kind: str, reason: str) -> None:
        self._failure = (logical_id, kind, reason)

    def the_deletion_will_hang(self) -> None:
        self._hangs = True

    def the_stack_will_have(self, **outputs: str) -> None:
        self._outputs = outputs

    def go_on(self, stack: DeclaredStack) -> None:
        if stack.coming:
            event = stack.coming.popleft()
            stack.history.append(event)
            if event.physical_id == stack.record.id:
                stack.record = replace(stack.record, status=event.status)

    def names(self) -> list[str]:
        return sorted(stack.record.name for stack in self._alive())

    # the calls of the edge

    def create_change_set(self, request: ChangeSetRequest) -> None:
        self.calls.append(f"create-change-set {request.kind} {request.stack}")
        self.requests.append(request)
        if request.kind == "CREATE" and self.describe_stack(request.stack) is None:
            self.declare_stack(request.stack, status="REVIEW_IN_PROGRESS", tags={})
        status = "FAILED" if self._refusal is not None else "CREATE_PENDING"
        record = ChangeSetRecord(
            name=request.name, status=status, reason=self._refusal or "", tags=request.tags
        )
        self._find(request.stack).change_sets[request.name] = record

    def describe_change_set(self, stack: str, name: str) -> ChangeSetRecord:
        change_sets = self._find(stack).change_sets
        record = change_sets[name]
        if record.pending:  # ready the next time
            change_sets[name] = replace(record, status="CREATE_COMPLETE")
        return record

    def change_sets(self, stack: str) -> tuple[str, ...]:
        return tuple(self._find(stack).change_sets)

    def execute_change_set(self, stack: str, name: str, token: str, *, keep_failed: bool = False) -> None:
        self.calls.append(f"execute-change-set {stack}")
        declared = self._find(stack)
        verb = "CREATE" if declared.record.in_review else "UPDATE"
        tags = declared.change_sets[name].tags
        declared.record = replace(declared.record, tags=tags, outputs=self._outputs)
        declared.coming.extend(self._story(declared, verb, keep_failed=keep_failed))

    def delete_change_set(self, stack: str, name: str) -> None:
        self.calls.append(f"delete-change-set {stack}")
        del self._find(stack).change_sets[name]

    def describe_stack(self, name: str) -> StackRecord | None:
        try:
            return self._find(name).record
        except NotFound:
            return None

    def stacks(self) -> tuple[StackRecord, ...]:
        return tuple(stack.record for stack in self._alive())

    def events(self, stack: str, after: str | None = None) -> tuple[StackEvent, ...]:
        declared = self._find(stack)
        self.go_on(declared)
        ids = [event.id for event in declared.history]
        return tuple(declared.history[ids.index(after) + 1 if after in ids else 0 :])

    def resources(self, stack: str) -> tuple[StackResource, ...]:
        return self._find(stack).resources

    def delete_stack(self, stack: str, token: str) -> None:
        declared = self._find(stack)
        self.calls.append(f"delete-stack {declared.record.name}")
        assert not declared.record.protected
        declared.coming.append(self._event(declared, "DELETE_IN_PROGRESS"))
        if self._hangs:
            return
        blocked = self._blocked(declared)
        declared.coming.extend(blocked)
        if not blocked:
            self.s3.drop(resource.physical_id for resource in declared.resources)
        end = "DELETE_FAILED" if blocked else "DELETE_COMPLETE"
        declared.coming.append(self._event(declared, end, reason="see above" if blocked else ""))

    def _blocked(self, declared: DeclaredStack) -> list[StackEvent]:
        users = declared.imported_by & set(self.names())
        events = [
            self._event(declared, "DELETE_FAILED", about=(user, "Export", "export in use"))
            for user in sorted(users)
        ]
        return events + [
            self._event(
                declared,
                "DELETE_FAILED",
                about=(resource.logical_id, resource.type, "The bucket you tried to delete is not empty"),
            )
            for resource in declared.resources
            if self.s3.holds_something(resource.physical_id)
        ]

    def _story(self, declared: DeclaredStack, verb: str, *, keep_failed: bool) -> list[StackEvent]:
        begin = self._event(declared, f"{verb}_IN_PROGRESS")
        if self._failure is None:
            return [
                begin,
                self._event(declared, f"{verb}_COMPLETE", about=("Vpc", "AWS::EC2::VPC", "")),
                self._event(declared, f"{verb}_COMPLETE"),
            ]
        back = "ROLLBACK" if verb == "CREATE" else "UPDATE_ROLLBACK"
        other = ("Other", "AWS::S3::Bucket", "Resource creation cancelled")
        failed = [
            begin,
            self._event(declared, f"{verb}_FAILED", about=self._failure),
            self._event(declared, f"{verb}_FAILED", about=other),
        ]
        if keep_failed:
            return [*failed, self._event(declared, f"{verb}_FAILED")]
        return [
            *failed,
            self._event(declared, f"{back}_IN_PROGRESS"),
            self._event(declared, f"{back}_COMPLETE"),
        ]

    def _event(
        self,
        stack: DeclaredStack,
        status: str,
        *,
        about: tuple[str, str, str] | None = None,
        reason: str = "",
    ) -> StackEvent:
        self._events += 1
        logical_id, kind, why = about or (stack.record.name, STACK_TYPE, reason)
        return StackEvent(
            id=f"event-{self._events}",
            stack_id=stack.record.id,
            time=START + timedelta(seconds=self._events),
            logical_id=logical_id,
            physical_id=stack.record.id if about is None else f"id-of-{logical_id}",
            type=kind,
            status=status,
            reason=why,
        )

    def _alive(self) -> list[DeclaredStack]:
        return [stack for stack in self.all.values() if stack.record.status != "DELETE_COMPLETE"]

    def _find(self, name: str) -> DeclaredStack:
        if name in self.all:
            return self.all[name]
        for stack in self._alive():
            if stack.record.name == name:
                return stack
        raise NotFound(f"Stack with id {name} does not exist")
