"""Systems Manager: commands to hosts, documents and parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioning.aws.tags import as_mapping
from provisioning.aws.translation import translated
from provisioning.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_ssm.type_defs import CommandInvocationTypeDef, SendCommandRequestTypeDef

INSTANCES_PER_FILTER = 50  # the most ids DescribeInstanceInformation takes in one filter
STDERR_SHOWN = 8000  # characters of a command's error output that GetCommandInvocation answers
GOING = frozenset({"Pending", "InProgress", "Delayed", "Cancelling"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRequest:
    """A command: which document, with which parameters, for the hosts that carry all of the tags."""

    document: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    delivery_timeout_s: int = 120
    max_concurrency: str = "50"  # hosts at once; a number or a percentage, as for max_errors
    max_errors: str = "0"  # SSM stops sending once more hosts than this have failed
    output_bucket: str | None = (
        None  # where each host puts its whole output, from which SSM shows the first part
    )
    output_prefix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRecord:
    """A command as a whole; `detail` is finer than `status` ("NoInstancesInTag" is a "Success")."""

    status: str
    detail: str

    @property
    def ended_early(self) -> bool:
        """Whether the command is over without success, so that hosts not listed yet never will be."""
        return self.status not in GOING and self.detail != "Success"


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
class InvocationReport(InvocationRecord):
    """A command on one host, with its exit code and the first 2,500 characters that it wrote."""

    response_code: int
    output: str


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
class SessionRecord:
    """A session that was started; its token opens the stream, so it is a secret."""

    session_id: str
    token: str
    stream_url: str


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
        """Send the command to every host with the tags, in one call; return its id."""
        arguments: SendCommandRequestTypeDef = {
            "DocumentName": request.document,
            "Parameters": {name: [value] for name, value in request.parameters.items()},
            "TimeoutSeconds": request.delivery_timeout_s,
            "Targets": [{"Key": f"tag:{key}", "Values": [value]} for key, value in request.tags.items()],
            "MaxConcurrency": request.max_concurrency,
            "MaxErrors": request.max_errors,
        }
        if request.output_bucket:
            arguments["OutputS3BucketName"] = request.output_bucket
            arguments["OutputS3KeyPrefix"] = request.output_prefix
        return self._client.send_command(**arguments)["Command"]["CommandId"]

    @property
    def endpoint_url(self) -> str:
        """Where the calls go."""
        return self._client.meta.endpoint_url

    @translated("ssm:StartSession")
    def start_session(
        self, instance_id: str, document: str, parameters: Mapping[str, Sequence[str]]
    ) -> SessionRecord:
        """Start a session with a host; it must be terminated again."""
        answer = self._client.start_session(
            Target=instance_id, DocumentName=document, Parameters=dict(parameters)
        )
        return SessionRecord(
            session_id=answer["SessionId"], token=answer["TokenValue"], stream_url=answer["StreamUrl"]
        )

    @translated("ssm:TerminateSession")
    def terminate_session(self, session_id: str) -> None:
        """End a session on both sides; ending it again is no error."""
        self._client.terminate_session(SessionId=session_id)

    @translated("ssm:CancelCommand")
    def cancel_command(self, command_id: str) -> None:
        """Ask for the command to stop where it has not ended."""
        self._client.cancel_command(CommandId=command_id)

    @translated("ssm:ListCommands")
    def command(self, command_id: str) -> CommandRecord:
        """Return the command's own state, or raise `NotFound`."""
        found = self._client.list_commands(CommandId=command_id)["Commands"]
        if not found:
            raise NotFound(f"There is no command {command_id}.", operation="ssm:ListCommands")
        status = found[0]["Status"]
        return CommandRecord(status=status, detail=found[0].get("StatusDetails", status))

    @translated("ssm:ListCommandInvocations")
    def reports(self, command_id: str) -> tuple[InvocationReport, ...]:
        """Return how the command went on each host, 50 hosts per call."""
        pages = self._client.get_paginator("list_command_invocations").paginate(
            CommandId=command_id, Details=True
        )
        return tuple(_report(entry) for page in pages for entry in page["CommandInvocations"])

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


def _report(entry: CommandInvocationTypeDef) -> InvocationReport:
    """Read an invocation whose document has one step."""
    steps = entry.get("CommandPlugins", [])
    return InvocationReport(
        instance_id=entry["InstanceId"],
        status=entry["Status"],
        detail=entry.get("StatusDetails", entry["Status"]),
        response_code=steps[0].get("ResponseCode", -1) if steps else -1,
        output=steps[0].get("Output", "") if steps else "",
    )
