"""An AWS that says what a test declares: stacks with scripted endings, buckets, hosts, and a still clock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3

from provisioning.aws.autoscaling import AutoScaling
from provisioning.aws.budgets import Budgets
from provisioning.aws.cloudformation import (
    STACK_TYPE,
    ChangeSetRecord,
    ChangeSetRequest,
    CloudFormation,
    StackEvent,
    StackRecord,
    StackResource,
)
from provisioning.aws.connection import Aws
from provisioning.aws.ec2 import Ec2, InstanceRecord, InterfaceRecord
from provisioning.aws.ec2_capacity import Ec2Capacity
from provisioning.aws.ec2_inventory import Ec2Inventory
from provisioning.aws.ec2_network import Ec2Network
from provisioning.aws.elbv2 import Elbv2
from provisioning.aws.iam import Iam
from provisioning.aws.kms import Kms
from provisioning.aws.logs import Logs
from provisioning.aws.s3 import S3, MultipartUpload, ObjectVersion
from provisioning.aws.sagemaker import SageMaker
from provisioning.aws.scheduler import Scheduler
from provisioning.aws.sqs import Sqs
from provisioning.aws.ssm import (
    CommandRecord,
    CommandRequest,
    InvocationOutput,
    InvocationRecord,
    InvocationReport,
    ManagedHost,
    Ssm,
    SsmRecord,
)
from provisioning.aws.sts import Sts
from provisioning.deployment import TAG_DEPLOYMENT
from provisioning.errors import AwsError, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

START = datetime(2026, 11, 21, tzinfo=UTC)


class StillClock:
    """A clock that moves only when somebody sleeps; chance always gives the higher number."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []
        self.on_sleep: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        self.on_sleep()

    def uniform(self, low: float, high: float) -> float:
        assert 0 <= low <= high
        return high


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
        declared.coming.extend(self._story(declared, verb))

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

    def _story(self, declared: DeclaredStack, verb: str) -> list[StackEvent]:
        begin = self._event(declared, f"{verb}_IN_PROGRESS")
        if self._failure is None:
            return [
                begin,
                self._event(declared, f"{verb}_COMPLETE", about=("Vpc", "AWS::EC2::VPC", "")),
                self._event(declared, f"{verb}_COMPLETE"),
            ]
        back = "ROLLBACK" if verb == "CREATE" else "UPDATE_ROLLBACK"
        other = ("Other", "AWS::S3::Bucket", "Resource creation cancelled")
        return [
            begin,
            self._event(declared, f"{verb}_FAILED", about=self._failure),
            self._event(declared, f"{verb}_FAILED", about=other),
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


@dataclass
class DeclaredBucket:
    tags: Mapping[str, str]
    versions: list[ObjectVersion]
    uploads: list[MultipartUpload]
    late_writes: int = 0
    refuses: AwsError | None = None


class DeclaredS3(S3):
    """Buckets with versions and unfinished uploads; the CloudFormation beside it deletes only empty ones."""

    def __init__(self) -> None:
        self.contents: dict[str, DeclaredBucket] = {}
        self.batches: list[int] = []

    def declare_bucket(
        self, name: str, *, tags: Mapping[str, str] | None = None, versions: int = 0, uploads: int = 0
    ) -> DeclaredBucket:
        bucket = DeclaredBucket(
            tags={TAG_DEPLOYMENT: "demo"} if tags is None else tags,
            versions=[ObjectVersion(key=f"k{number}", version_id="v") for number in range(versions)],
            uploads=[MultipartUpload(key="k", upload_id=str(number)) for number in range(uploads)],
        )
        self.contents[name] = bucket
        return bucket

    def holds_something(self, name: str) -> bool:
        bucket = self.contents.get(name)
        return bucket is not None and bool(bucket.versions or bucket.uploads)

    def drop(self, names: Iterable[str]) -> None:
        for name in names:
            self.contents.pop(name, None)

    def buckets(self) -> tuple[str, ...]:
        return tuple(self.contents)

    def bucket_tags(self, bucket: str) -> Mapping[str, str]:
        return self.contents[bucket].tags

    def versions(self, bucket: str) -> tuple[ObjectVersion, ...]:
        return tuple(self._bucket(bucket).versions)

    def delete_objects(self, bucket: str, versions: Sequence[ObjectVersion]) -> None:
        self.batches.append(len(versions))
        found = self._bucket(bucket)
        if found.refuses is not None:
            raise found.refuses
        found.versions = [version for version in found.versions if version not in versions]
        if found.late_writes and not found.versions:
            found.late_writes -= 1
            found.versions.append(ObjectVersion(key="late", version_id=str(found.late_writes)))

    def multipart_uploads(self, bucket: str) -> tuple[MultipartUpload, ...]:
        return tuple(self._bucket(bucket).uploads)

    def abort_multipart_upload(self, bucket: str, upload: MultipartUpload) -> None:
        self._bucket(bucket).uploads.remove(upload)

    def delete_bucket(self, bucket: str) -> None:
        if self.holds_something(bucket):
            raise AwsError(f"Bucket {bucket} is not empty", aws_code="BucketNotEmpty")
        del self.contents[bucket]

    def _bucket(self, name: str) -> DeclaredBucket:
        if name not in self.contents:
            raise NotFound(f"There is no bucket {name}", aws_code="NoSuchBucket")
        return self.contents[name]


class DeclaredEc2(Ec2):
    """Hosts, and network interfaces that are released one look at a time."""

    def __init__(self) -> None:
        self.hosts: list[InstanceRecord] = []
        self.interfaces: list[str] = []
        self.of_endpoints: frozenset[str] = frozenset()
        self.released_per_look = 0

    def declare_host(
        self, instance_id: str, tags: Mapping[str, str], *, state: str = "running"
    ) -> InstanceRecord:
        host = InstanceRecord(
            instance_id=instance_id,
            instance_type="c7i.xlarge",
            state=state,
            zone="us-west-2a",
            vpc_id="vpc-1",
            subnet_id="subnet-1",
            private_ip="10.0.0.4",
            launched=START,
            tags=tags,
        )
        self.hosts.append(host)
        return host

    def instances(self, tags: Mapping[str, str | None]) -> tuple[InstanceRecord, ...]:
        return tuple(
            host
            for host in self.hosts
            if all(key in host.tags and value in (None, host.tags[key]) for key, value in tags.items())
        )

    def interfaces_in(self, vpc_id: str) -> tuple[InterfaceRecord, ...]:
        found = tuple(
            InterfaceRecord(interface_id=name, type="interface", status="in-use", description="")
            for name in self.interfaces
        )
        for _ in range(self.released_per_look):
            self.interfaces.pop()
        return found

    def endpoint_interfaces(self, vpc_id: str) -> frozenset[str]:
        return self.of_endpoints


class DeclaredSsm(Ssm):
    """Hosts that register after some looks and walk through the states a test gives them."""

    def __init__(self) -> None:
        self.looks_until_online: dict[str, int] = {}
        self.walks: dict[str, list[str]] = {}
        self.outputs: dict[str, InvocationOutput] = {}
        self.sent: list[CommandRequest] = []
        self.cancelled: list[str] = []
        self.state = CommandRecord(status="InProgress", detail="InProgress")
        self.calls: list[str] = []  # the requests AWS would get, by name; a page holds 50 hosts
        self.on_look: Callable[[], None] = lambda: None

    def declare_agent(
        self,
        instance_id: str,
        *walk: str,
        looks_until_online: int = 0,
        code: int = 0,
        stdout: str = "",
        stderr: str = "",
    ) -> None:
        self.looks_until_online[instance_id] = looks_until_online
        self.walks[instance_id] = list(walk) or ["Success"]
        self.outputs[instance_id] = InvocationOutput(
            instance_id=instance_id,
            status=self.walks[instance_id][-1],
            detail=self.walks[instance_id][-1],
            response_code=code,
            stdout=stdout,
            stderr=stderr,
        )

    def managed_hosts(self, instance_ids: Sequence[str]) -> tuple[ManagedHost, ...]:
        assert len(instance_ids) <= 50
        self.calls.append("DescribeInstanceInformation")
        found = []
        for instance_id in instance_ids:
            left = self.looks_until_online.get(instance_id)
            if left is not None:
                ping = "Online" if left == 0 else "ConnectionLost"
                found.append(ManagedHost(instance_id=instance_id, ping=ping))
                self.looks_until_online[instance_id] = max(0, left - 1)
        return tuple(found)

    def send_command(self, request: CommandRequest) -> str:
        self.calls.append("SendCommand")
        self.sent.append(request)
        return f"command-{len(self.sent)}"

    def command(self, command_id: str) -> CommandRecord:
        self.calls.append("ListCommands")
        return self.state

    def invocations(self, command_id: str) -> tuple[InvocationRecord, ...]:
        self.on_look()
        found = []
        for instance_id, walk in self.walks.items():
            state = walk[0] if len(walk) == 1 else walk.pop(0)
            if state != "unlisted":
                found.append(_invocation(instance_id, state))
        self._paged(len(found))
        return tuple(found)

    def reports(self, command_id: str) -> tuple[InvocationReport, ...]:
        listed = [self.outputs[name] for name, walk in self.walks.items() if walk[-1] != "unlisted"]
        self._paged(len(listed))
        return tuple(
            InvocationReport(
                instance_id=each.instance_id,
                status=each.status,
                detail=each.detail,
                response_code=each.response_code,
                output=(each.stdout + each.stderr)[:2500],
            )
            for each in listed
        )

    def invocation(self, command_id: str, instance_id: str) -> InvocationOutput:
        self.calls.append("GetCommandInvocation")
        return self.outputs[instance_id]

    def cancel_command(self, command_id: str) -> None:
        self.cancelled.append(command_id)

    def _paged(self, hosts: int) -> None:
        self.calls += ["ListCommandInvocations"] * max(1, -(-hosts // 50))

    def own_documents(self) -> tuple[SsmRecord, ...]:
        return ()

    def parameters_tagged(self, key: str, value: str) -> tuple[str, ...]:
        return ()


def _invocation(instance_id: str, detail: str) -> InvocationRecord:
    coarse = {"Undeliverable": "TimedOut", "DeliveryTimedOut": "TimedOut", "ExecutionTimedOut": "TimedOut"}
    return InvocationRecord(instance_id=instance_id, status=coarse.get(detail, detail), detail=detail)


class NoPages:
    """The client of a service in which there is nothing, whatever is listed."""

    def get_paginator(self, _call: str) -> NoPages:
        return self

    def paginate(self, **_asked: object) -> tuple[()]:
        return ()

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/tester"}


@dataclass
class DeclaredAws:
    """The bundle the code under test gets, and the doubles behind it."""

    aws: Aws
    cloudformation: DeclaredCloudFormation
    s3: DeclaredS3
    ec2: DeclaredEc2
    ssm: DeclaredSsm


def declare_aws() -> DeclaredAws:
    """Return an empty account in which a test declares stacks, buckets and hosts."""
    session = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing")
    aws = Aws(session, "us-west-2")
    s3, ec2, ssm = DeclaredS3(), DeclaredEc2(), DeclaredSsm()
    cloudformation = DeclaredCloudFormation(s3)
    aws.cloudformation, aws.s3, aws.ec2, aws.ssm = cloudformation, s3, ec2, ssm
    empty: Any = NoPages()
    aws.iam, aws.logs = Iam(empty), Logs(empty)
    aws.ec2_inventory, aws.sagemaker = Ec2Inventory(empty), SageMaker(empty)
    aws.autoscaling, aws.ec2_network = AutoScaling(empty), Ec2Network(empty)
    aws.scheduler, aws.sqs, aws.kms = Scheduler(empty), Sqs(empty), Kms(empty)
    aws.budgets, aws.sts, aws.elbv2 = Budgets(empty), Sts(empty), Elbv2(empty)
    aws.ec2_capacity = Ec2Capacity(empty)
    return DeclaredAws(aws, cloudformation, s3, ec2, ssm)
