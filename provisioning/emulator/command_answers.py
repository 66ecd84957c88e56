"""What SSM answers about commands, their invocations and the nodes they run on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.ssm.exceptions import SSMException

from provisioning.emulator import command_output
from provisioning.emulator.invocation import NOT_RUN_CODE, Status

if TYPE_CHECKING:
    from pathlib import Path

    from provisioning.emulator.host import Host
    from provisioning.emulator.invocation import Invocation, StepResult
    from provisioning.emulator.run_command import Command

# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetCommandInvocation.html
_MOST_OUTPUT = 24_000
_MOST_ERROR = 8_000
# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_CommandPlugin.html
_MOST_LISTED = 2_500


def command(sent: Command) -> dict[str, Any]:
    """Return the Command structure of the API."""
    request = sent.request
    return {
        "CommandId": sent.id,
        "DocumentName": request.document.name,
        "DocumentVersion": request.document.version,
        "Comment": request.comment,
        "ExpiresAfter": sent.expires,
        "Parameters": request.parameters,
        "InstanceIds": list(request.instance_ids),
        "Targets": list(request.targets),
        "RequestedDateTime": sent.requested,
        "Status": sent.status.value,
        "StatusDetails": sent.details,
        "OutputS3Region": sent.region,
        "OutputS3BucketName": request.output_bucket,
        "OutputS3KeyPrefix": request.output_prefix,
        "MaxConcurrency": request.control.max_concurrency,
        "MaxErrors": request.control.max_errors,
        "TargetCount": len(sent.invocations),
        "CompletedCount": sum(each.status.final for each in sent.invocations),
        "ErrorCount": sum(each.status in {Status.FAILED, Status.TIMED_OUT} for each in sent.invocations),
        "DeliveryTimedOutCount": sum(each.details == "DeliveryTimedOut" for each in sent.invocations),
        "TimeoutSeconds": request.timeout_s,
    }


def invocation(sent: Command, of_host: Invocation, plugin: str | None) -> dict[str, Any]:
    """Return GetCommandInvocation's answer: of one step when it is named, else of all together."""
    results = tuple(each for each in of_host.results if plugin in {None, "", "aws:runShellScript", each.name})
    if plugin and of_host.status.final and not results:
        raise SSMException("InvalidPluginName", f"The command has no plugin {plugin}.")
    finished = results if of_host.status.final else ()
    urls = _urls(sent, of_host, finished)
    return {
        "CommandId": sent.id,
        "InstanceId": of_host.host.instance_id,
        "Comment": sent.request.comment,
        "DocumentName": sent.request.document.name,
        "DocumentVersion": sent.request.document.version,
        "PluginName": plugin or "aws:runShellScript",
        "ResponseCode": of_host.exit_code,
        "ExecutionStartDateTime": _stamp(of_host.started),
        "ExecutionElapsedTime": _elapsed(of_host),
        "ExecutionEndDateTime": _stamp(of_host.ended),
        "Status": of_host.status.value,
        "StatusDetails": of_host.details,
        "StandardOutputContent": _beginning([each.stdout for each in finished], _MOST_OUTPUT),
        "StandardOutputUrl": urls[0],
        "StandardErrorContent": _beginning([each.stderr for each in finished], _MOST_ERROR),
        "StandardErrorUrl": urls[1],
    }


def listed_invocation(sent: Command, of_host: Invocation, *, details: bool) -> dict[str, Any]:
    """Return the CommandInvocation structure of the API, with its plugins when details are asked for."""
    answer: dict[str, Any] = {
        "CommandId": sent.id,
        "InstanceId": of_host.host.instance_id,
        "Comment": sent.request.comment,
        "DocumentName": sent.request.document.name,
        "DocumentVersion": sent.request.document.version,
        "RequestedDateTime": sent.requested,
        "Status": of_host.status.value,
        "StatusDetails": of_host.details,
        "CommandPlugins": [_plugin(sent, of_host, each) for each in of_host.results] if details else [],
    }
    return answer


def node(host: Host, instance: Any) -> dict[str, Any]:
    """Return the InstanceInformation structure of the API."""
    return {
        "InstanceId": host.instance_id,
        "PingStatus": ping_status(host),
        "LastPingDateTime": datetime.now(UTC),
        "AgentVersion": "3.3.2746.0",
        "IsLatestVersion": True,
        "PlatformType": "Linux",
        "PlatformName": "Amazon Linux",
        "PlatformVersion": "2023",
        "RegistrationDate": host.registered_at,
        "ResourceType": "EC2Instance",
        "IPAddress": instance.private_ip_address,
        "ComputerName": instance.private_dns_name,
        "SourceId": host.instance_id,
        "SourceType": "AWS::EC2::Instance",
    }


def ping_status(host: Host) -> str:
    """Return whether the node's agent answers."""
    return "Online" if host.online else "ConnectionLost"


def _plugin(sent: Command, of_host: Invocation, result: StepResult) -> dict[str, Any]:
    urls = _urls(sent, of_host, (result,))
    return {
        "Name": result.name,
        "Status": result.status.value,
        "StatusDetails": result.details,
        "ResponseCode": result.exit_code,
        "ResponseStartDateTime": result.started,
        "ResponseFinishDateTime": result.ended,
        "Output": _beginning([result.stdout, result.stderr], _MOST_LISTED),
        "StandardOutputUrl": urls[0],
        "StandardErrorUrl": urls[1],
        "OutputS3Region": sent.region,
        "OutputS3BucketName": sent.request.output_bucket,
        "OutputS3KeyPrefix": sent.request.output_prefix,
    }


def _urls(sent: Command, of_host: Invocation, results: tuple[StepResult, ...]) -> tuple[str, str]:
    if len(results) != 1:
        return "", ""
    instance_id = of_host.host.instance_id
    return (
        command_output.url(sent, instance_id, results[0].name, "stdout"),
        command_output.url(sent, instance_id, results[0].name, "stderr"),
    )


def _beginning(paths: list[Path], most: int) -> str:
    """Return the first characters that the files hold together; a file may be gone with its host."""
    text = ""
    for path in paths:
        if path.exists() and len(text) < most:
            with path.open(errors="replace", newline="") as file:
                text += file.read(most - len(text))
    return text


def _stamp(moment: datetime | None) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment else ""


def _elapsed(of_host: Invocation) -> str:
    """Return the run time as an ISO 8601 duration, "" before the run."""
    if of_host.started is None or of_host.exit_code == NOT_RUN_CODE:
        return ""
    return f"PT{((of_host.ended or datetime.now(UTC)) - of_host.started).total_seconds():.3f}S"
