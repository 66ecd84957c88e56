"""Systems Manager: commands to hosts, documents and parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from provisioning.aws.tags import as_mapping
from provisioning.aws.translation import translated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_ssm.type_defs import SendCommandRequestTypeDef

INSTANCES_PER_COMMAND = 50  # the most SendCommand takes by id
GOING = frozenset({"Pending", "InProgress", "Delayed", "Cancelling"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRequest:
    """A command: which document, with which parameters, for which hosts."""

    document: str
    parameters: Mapping[str, str]
    instance_ids: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)  # used when no ids are given
    delivery_timeout_s: int = 120
    output_bucket: str | None = None  # where SSM puts the whole output; it shows the first 24,000 characters
    output_prefix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationRecord:
    """A command on one host; `detail` is finer than `status` ("ExecutionTimedOut" is a "TimedOut")."""

    instance_id: str
    status: str
    detail: str

    @property
    def done(self) -> bool:
        """Whether the status is final."""
        return self.status not in GOING


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationOutput:
    """How a command ended on one host, and what it wrote."""

    instance_id: str
    status: str
    detail: str
    response_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedHost:
    """A host that has registered with Systems Manager."""

    instance_id: str
    ping: str  # "Online", "ConnectionLost" or "Inactive"


@dataclass(frozen=True, slots=True, kw_only=True)
class SsmRecord:
    """A document or a parameter."""

    name: str
    tags: Mapping[str, str]


class Ssm:
    """The Systems Manager calls this project makes."""

    def __init__(self, client: SSMClient) -> None:
        self._client = client

    @translated("ssm:SendCommand")
    def send_command(self, request: CommandRequest) -> str:
        """Send the command; return its id. Takes at most `INSTANCES_PER_COMMAND` ids, or any tags."""
        arguments: SendCommandRequestTypeDef = {
            "DocumentName": request.document,
            "Parameters": {name: [value] for name, value in request.parameters.items()},
            "TimeoutSeconds": request.delivery_timeout_s,
        }
        if request.instance_ids:
            arguments["InstanceIds"] = list(request.instance_ids)
        else:
            arguments["Targets"] = [
                {"Key": f"tag:{key}", "Values": [value]} for key, value in request.tags.items()
            ]
        if request.output_bucket:
            arguments["OutputS3BucketName"] = request.output_bucket
            arguments["OutputS3KeyPrefix"] = request.output_prefix
        return self._client.send_command(**arguments)["Command"]["CommandId"]

    @translated("ssm:CancelCommand")
    def cancel_command(self, command_id: str) -> None:
        """Ask for the command to stop where it has not ended."""
        self._client.cancel_command(CommandId=command_id)

    @translated("ssm:ListCommandInvocations")
    def invocations(self, command_id: str) -> tuple[InvocationRecord, ...]:
        """Return the command's state on each host that it reached so far."""
        pages = self._client.get_paginator("list_command_invocations").paginate(CommandId=command_id)
        return tuple(
            InvocationRecord(
                instance_id=entry["InstanceId"],
                status=entry["Status"],
                detail=entry.get("StatusDetails", entry["Status"]),
            )
            for page in pages
            for entry in page["CommandInvocations"]
        )

    @translated("ssm:GetCommandInvocation")
    def invocation(self, command_id: str, instance_id: str) -> InvocationOutput:
        """Return how the command went on one host, or raise `NotFound` while it is unknown there."""
        answer = self._client.get_command_invocation(CommandId=command_id, InstanceId=instance_id)
        return InvocationOutput(
            instance_id=instance_id,
            status=answer["Status"],
            detail=answer.get("StatusDetails", answer["Status"]),
            response_code=answer["ResponseCode"],
            stdout=answer["StandardOutputContent"],
            stderr=answer["StandardErrorContent"],
        )

    @translated("ssm:DescribeInstanceInformation")
    def managed_hosts(self, instance_ids: Sequence[str]) -> tuple[ManagedHost, ...]:
        """Return those of the instances that have registered."""
        pages = self._client.get_paginator("describe_instance_information").paginate(
            Filters=[{"Key": "InstanceIds", "Values": list(instance_ids)}]
        )
        return tuple(
            ManagedHost(instance_id=entry["InstanceId"], ping=entry["PingStatus"])
            for page in pages
            for entry in page["InstanceInformationList"]
        )

    @translated("ssm:GetParameter")
    def parameter(self, name: str) -> str:
        """Return the value of a parameter, or raise `NotFound`."""
        return self._client.get_parameter(Name=name)["Parameter"]["Value"]

    @translated("ssm:DescribeParameters")
    def parameters_under(self, path: str) -> tuple[str, ...]:
        """Return the names of the account's parameters under the path."""
        pages = self._client.get_paginator("describe_parameters").paginate(
            ParameterFilters=[{"Key": "Path", "Option": "Recursive", "Values": [path]}]
        )
        return tuple(entry["Name"] for page in pages for entry in page["Parameters"])

    @translated("ssm:DescribeParameters")
    def parameters_tagged(self, key: str, value: str) -> tuple[str, ...]:
        """Return the names of the account's parameters with the tag."""
        pages = self._client.get_paginator("describe_parameters").paginate(
            ParameterFilters=[{"Key": f"tag:{key}", "Option": "Equals", "Values": [value]}]
        )
        return tuple(entry["Name"] for page in pages for entry in page["Parameters"])

    @translated("ssm:ListDocuments")
    def own_documents(self) -> tuple[SsmRecord, ...]:
        """Return the account's own documents with their tags."""
        pages = self._client.get_paginator("list_documents").paginate(
            Filters=[{"Key": "Owner", "Values": ["Self"]}]
        )
        return tuple(
            SsmRecord(name=entry["Name"], tags=as_mapping(entry.get("Tags", [])))
            for page in pages
            for entry in page["DocumentIdentifiers"]
        )
