"""CloudFormation: stacks, change sets and events."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Literal

from provisioning.aws.tags import as_list, as_mapping
from provisioning.aws.translation import translated
from provisioning.deployment import TAG_DEPLOYMENT
from provisioning.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackEventTypeDef, StackTypeDef

STACK_TYPE = "AWS::CloudFormation::Stack"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRecord:
    """A stack as DescribeStacks shows it."""

    id: str
    name: str
    status: str
    reason: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]
    tags: Mapping[str, str]
    protected: bool
    created: datetime

    @property
    def deployment(self) -> str | None:
        """The deployment its tag names."""
        return self.tags.get(TAG_DEPLOYMENT)

    @property
    def in_review(self) -> bool:
        """Whether there is nothing of it yet but a change set that was never executed."""
        return self.status == "REVIEW_IN_PROGRESS"

    @property
    def in_progress(self) -> bool:
        """Whether an operation on it is running."""
        return self.status.endswith("_IN_PROGRESS") and not self.in_review


@dataclass(frozen=True, slots=True, kw_only=True)
class StackEvent:
    """One line of a stack's history."""

    id: str
    stack_id: str
    time: datetime
    logical_id: str
    physical_id: str
    type: str
    status: str
    reason: str

    @property
    def failed(self) -> bool:
        """Whether something could not be made, changed or deleted."""
        return self.status.endswith("_FAILED")

    @property
    def ends_operation(self) -> bool:
        """Whether this event is about the stack itself and nothing follows it."""
        about_the_stack = self.type == STACK_TYPE and self.physical_id == self.stack_id
        return about_the_stack and self.status.endswith(("_COMPLETE", "_FAILED"))

    def tell(self, say: Callable[[str], None]) -> None:
        """Say what has become of a resource; that it was begun is said by what comes of it."""
        if not self.status.endswith("_IN_PROGRESS"):
            say(self.describe())

    def describe(self) -> str:
        """Return the event as one line for a person."""
        because = f": {self.reason}" if self.reason else ""
        return f"{self.logical_id} ({self.type}) {self.status}{because}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackResource:
    """One resource of a stack; `physical_id` is empty while it is not made."""

    logical_id: str
    physical_id: str
    type: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSetRequest:
    """What a change set is made of."""

    stack: str
    name: str
    kind: Literal["CREATE", "UPDATE"]
    body: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    token: str  # a repeated request with the same token is the same change set


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSetRecord:
    """A change set and what became of it."""

    name: str
    status: str
    reason: str
    tags: Mapping[str, str]

    @property
    def pending(self) -> bool:
        """Whether CloudFormation is still working it out."""
        return self.status in ("CREATE_PENDING", "CREATE_IN_PROGRESS")

    @property
    def empty(self) -> bool:
        """Whether it failed only because there is nothing to change, which is how CloudFormation says so."""
        texts = ("didn't contain changes", "No updates are to be performed")
        return self.status == "FAILED" and any(text in self.reason for text in texts)


class CloudFormation:
    """The CloudFormation calls this project makes."""

    def __init__(self, client: CloudFormationClient) -> None:
        self._client = client

    @translated("cloudformation:CreateChangeSet")
    def create_change_set(self, request: ChangeSetRequest) -> None:
        """Ask for a change set; a CREATE one makes the stack too, in REVIEW_IN_PROGRESS."""
        self._client.create_change_set(
            StackName=request.stack,
            ChangeSetName=request.name,
            ChangeSetType=request.kind,
            TemplateBody=request.body,
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value} for key, value in request.parameters.items()
            ],
            Tags=as_list(request.tags),
            Capabilities=["CAPABILITY_NAMED_IAM"],
            ClientToken=request.token,
        )

    @translated("cloudformation:DescribeChangeSet")
    def describe_change_set(self, stack: str, name: str) -> ChangeSetRecord:
        """Return the change set, or raise `NotFound`."""
        answer = self._client.describe_change_set(StackName=stack, ChangeSetName=name)
        return ChangeSetRecord(
            name=answer["ChangeSetName"],
            status=answer["Status"],
            reason=answer.get("StatusReason", ""),
            tags=as_mapping(answer.get("Tags", [])),
        )

    @translated("cloudformation:ListChangeSets")
    def change_sets(self, stack: str) -> tuple[str, ...]:
        """Return the names of the stack's change sets that were not executed."""
        pages = self._client.get_paginator("list_change_sets").paginate(StackName=stack)
        return tuple(summary["ChangeSetName"] for page in pages for summary in page["Summaries"])

    @translated("cloudformation:ExecuteChangeSet")
    def execute_change_set(self, stack: str, name: str, token: str, *, keep_failed: bool = False) -> None:
        """Start what the change set describes; what fails is rolled back unless it is to be kept."""
        self._client.execute_change_set(
            StackName=stack, ChangeSetName=name, ClientRequestToken=token, DisableRollback=keep_failed
        )

    @translated("cloudformation:DeleteChangeSet")
    def delete_change_set(self, stack: str, name: str) -> None:
        """Drop a change set that will not be executed."""
        self._client.delete_change_set(StackName=stack, ChangeSetName=name)

    def describe_stack(self, name: str) -> StackRecord | None:
        """Return the stack of this name or id, or None; a deleted stack is found by its id only."""
        try:
            return self._describe_stack(name)
        except NotFound:
            return None

    @translated("cloudformation:DescribeStacks")
    def _describe_stack(self, name: str) -> StackRecord:
        return _stack(self._client.describe_stacks(StackName=name)["Stacks"][0])

    @translated("cloudformation:DescribeStacks")
    def stacks(self) -> tuple[StackRecord, ...]:
        """Return every stack of the region that is not deleted."""
        pages = self._client.get_paginator("describe_stacks").paginate()
        return tuple(_stack(stack) for page in pages for stack in page["Stacks"])

    def list_stacks_of(self, deployment: str) -> tuple[StackRecord, ...]:
        """Return the stacks that carry the deployment's tag."""
        return tuple(stack for stack in self.stacks() if stack.deployment == deployment)

    @translated("cloudformation:DescribeStackEvents")
    def events(self, stack: str, after: str | None = None) -> tuple[StackEvent, ...]:
        """Return the events newer than the one whose id is `after` (all when None), oldest first."""
        pages = self._client.get_paginator("describe_stack_events").paginate(StackName=stack)
        newest_first: Iterable[StackEventTypeDef] = (event for page in pages for event in page["StackEvents"])
        fresh = takewhile(lambda event: event["EventId"] != after, newest_first)
        return tuple(_event(event) for event in fresh)[::-1]

    @translated("cloudformation:ListStackResources")
    def resources(self, stack: str) -> tuple[StackResource, ...]:
        """Return the resources of the stack."""
        pages = self._client.get_paginator("list_stack_resources").paginate(StackName=stack)
        return tuple(
            StackResource(
                logical_id=summary["LogicalResourceId"],
                physical_id=summary.get("PhysicalResourceId", ""),
                type=summary["ResourceType"],
                status=summary["ResourceStatus"],
            )
            for page in pages
            for summary in page["StackResourceSummaries"]
        )

    @translated("cloudformation:DeleteStack")
    def delete_stack(self, stack: str, token: str) -> None:
        """Start the deletion of the stack of this name or id."""
        self._client.delete_stack(StackName=stack, ClientRequestToken=token)


def _stack(answer: StackTypeDef) -> StackRecord:
    return StackRecord(
        id=answer.get("StackId", ""),
        name=answer["StackName"],
        status=answer["StackStatus"],
        reason=answer.get("StackStatusReason", ""),
        parameters={
            parameter["ParameterKey"]: parameter.get("ParameterValue", "")
            for parameter in answer.get("Parameters", [])
        },
        outputs={output["OutputKey"]: output["OutputValue"] for output in answer.get("Outputs", [])},
        tags=as_mapping(answer.get("Tags", [])),
        protected=answer.get("EnableTerminationProtection", False),
        created=answer["CreationTime"],
    )


def _event(answer: StackEventTypeDef) -> StackEvent:
    return StackEvent(
        id=answer["EventId"],
        stack_id=answer["StackId"],
        time=answer["Timestamp"],
        logical_id=answer.get("LogicalResourceId", ""),
        physical_id=answer.get("PhysicalResourceId", ""),
        type=answer.get("ResourceType", ""),
        status=answer.get("ResourceStatus", ""),
        reason=answer.get("ResourceStatusReason", ""),
    )
