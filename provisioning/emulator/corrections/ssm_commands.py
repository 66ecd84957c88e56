"""Corrections of SSM Run Command: commands reach registered hosts, run there, and report what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.models import ec2_backends
from moto.ssm.exceptions import SSMException
from moto.ssm.models import ssm_backends

from provisioning.emulator import command_answers, datacenter, ssm_document
from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.wrapping import instead, wrap
from provisioning.emulator.paging import page
from provisioning.emulator.run_command import Command, Request
from provisioning.emulator.waves import RateControl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from provisioning.emulator.host import Host
    from provisioning.emulator.ssm_document import CommandDocument

_RESPONSE = "moto.ssm.responses:SimpleSystemManagerResponse."
_SEND = Anchor(_RESPONSE + "send_command", "e8353443d1bbceec")
_LIST = Anchor(_RESPONSE + "list_commands", "6eb18c5869dc13b7")
_GET_INVOCATION = Anchor(_RESPONSE + "get_command_invocation", "e9a253e077b5ac2d")
# moto has none of these; the digest "" says so, and fails when a release brings them.
_LIST_INVOCATIONS = Anchor(_RESPONSE + "list_command_invocations", "")
_CANCEL = Anchor(_RESPONSE + "cancel_command", "")
_DESCRIBE_NODES = Anchor(_RESPONSE + "describe_instance_information", "")

_DEFAULT_DELIVERY_TIMEOUT_S = 3600


def _send_command(self: Any) -> ActionResult:
    place = (self.current_account, self.region)
    request = Request(
        document=_document(place, self._get_param("DocumentName"), self._get_param("DocumentVersion")),
        parameters=self._get_param("Parameters", {}),
        timeout_s=self._get_int_param("TimeoutSeconds", _DEFAULT_DELIVERY_TIMEOUT_S),
        comment=self._get_param("Comment", ""),
        instance_ids=tuple(self._get_param("InstanceIds", [])),
        targets=tuple(self._get_param("Targets", [])),
        output_bucket=self._get_param("OutputS3BucketName", ""),
        output_prefix=self._get_param("OutputS3KeyPrefix", ""),
        control=RateControl(
            max_concurrency=self._get_param("MaxConcurrency", "50"),
            max_errors=self._get_param("MaxErrors", "0"),
        ),
    )
    command = _center().run_command.send(*place, request, _receivers(place, request))
    return ActionResult({"Command": command_answers.command(command)})


def _list_commands(self: Any) -> ActionResult:
    commands = _commands(self)
    instance_id = self._get_param("InstanceId")
    if instance_id:
        commands = tuple(each for each in commands if _went_to(each, instance_id))
    found, token = page(commands, self._get_param("NextToken"), self._get_int_param("MaxResults", 50))
    return ActionResult({"Commands": [command_answers.command(each) for each in found], "NextToken": token})


def _list_command_invocations(self: Any) -> ActionResult:
    instance_id = self._get_param("InstanceId")
    details = bool(self._get_param("Details", False))
    invocations = tuple(
        command_answers.listed_invocation(command, invocation, details=details)
        for command in _commands(self)
        for invocation in command.invocations
        if instance_id in {None, "", invocation.host.instance_id}
    )
    found, token = page(invocations, self._get_param("NextToken"), self._get_int_param("MaxResults", 50))
    return ActionResult({"CommandInvocations": list(found), "NextToken": token})


def _get_command_invocation(self: Any) -> ActionResult:
    command = _find(self, self._get_param("CommandId"))
    invocation = command.invocation(self._get_param("InstanceId"))
    return ActionResult(command_answers.invocation(command, invocation, self._get_param("PluginName")))


def _cancel_command(self: Any) -> EmptyResult:
    command = _find(self, self._get_param("CommandId"))
    wanted = self._get_param("InstanceIds", [])
    for instance_id in wanted:
        command.invocation(instance_id)
    for invocation in command.invocations:
        if not wanted or invocation.host.instance_id in wanted:
            invocation.cancel()
    return EmptyResult()


def _describe_instance_information(self: Any) -> ActionResult:
    place = (self.current_account, self.region)
    filters = [(each["Key"], each["Values"]) for each in self._get_param("Filters", [])]
    filters += [
        (each["key"], each["valueSet"]) for each in self._get_param("InstanceInformationFilterList", [])
    ]
    nodes = tuple(
        command_answers.node(host, _instance(place, host.instance_id))
        for host in _registered(place)
        if all(_matches(place, host, key, values) for key, values in filters)
    )
    found, token = page(nodes, self._get_param("NextToken"), self._get_int_param("MaxResults", 50))
    return ActionResult({"InstanceInformationList": list(found), "NextToken": token})


def _center() -> datacenter.DataCenter:
    center = datacenter.current()
    if center is None:
        raise SSMException("InternalServerError", "This process serves no hosts.")
    return center


def _commands(response: Any) -> tuple[Command, ...]:
    command_id = response._get_param("CommandId")
    if command_id:
        return (_find(response, command_id),)
    return _center().run_command.list(response.current_account, response.region)


def _find(response: Any, command_id: str) -> Command:
    return _center().run_command.find(response.current_account, response.region, command_id)


def _went_to(command: Command, instance_id: str) -> bool:
    return any(each.host.instance_id == instance_id for each in command.invocations)


def _document(place: tuple[str, str], name: str, version: str | None) -> CommandDocument:
    account, region = place
    short = name.rpartition("/")[2] if name.startswith("arn:") else name
    if short == "AWS-RunShellScript":
        return ssm_document.parse(short, "1", ssm_document.RUN_SHELL_SCRIPT)
    documents = ssm_backends[account][region]._documents.get(short)
    if documents is None:
        raise SSMException("InvalidDocument", f"The document {short} does not exist.")
    document = documents.find(None if version in {None, "", "$DEFAULT"} else version)
    return ssm_document.parse(short, document.document_version, document.content_json)


def _receivers(place: tuple[str, str], request: Request) -> tuple[Host, ...]:
    """Return the hosts a command goes to; raises InvalidInstanceId for one that is not a managed node."""
    if bool(request.instance_ids) == bool(request.targets):
        raise SSMException("InvalidTarget", "Name either instances or targets.")
    online = {host.instance_id: host for host in _registered(place) if host.online}
    if request.instance_ids:
        missing = [each for each in request.instance_ids if each not in online]
        if missing:
            raise SSMException(
                "InvalidInstanceId", f"Instances {missing} not in a valid state for account {place[0]}"
            )
        return tuple(online[each] for each in dict.fromkeys(request.instance_ids))
    return tuple(
        host
        for host in online.values()
        if all(_matches(place, host, str(each["Key"]), each["Values"]) for each in request.targets)
    )


def _registered(place: tuple[str, str]) -> tuple[Host, ...]:
    known = {instance.id for instance in ec2_backends[place[0]][place[1]].all_instances()}
    return tuple(
        host
        for host in _center().hypervisor.hosts()
        if host.registered_at is not None and host.instance_id in known
    )


def _instance(place: tuple[str, str], instance_id: str) -> Any:
    return ec2_backends[place[0]][place[1]].get_instance(instance_id)


def _matches(place: tuple[str, str], host: Host, key: str, values: Sequence[str] | object) -> bool:
    wanted = set(values) if isinstance(values, list) else set()
    tags: Mapping[str, str] = {
        tag["key"]: tag["value"] for tag in _instance(place, host.instance_id).get_tags()
    }
    if key.startswith("tag:"):
        return tags.get(key.removeprefix("tag:")) in wanted
    if key == "tag-key":
        return bool(wanted & set(tags))
    facts = {
        "InstanceIds": host.instance_id,
        "PingStatus": command_answers.ping_status(host),
        "PlatformTypes": "Linux",
        "ResourceType": "EC2Instance",
    }
    if key not in facts:
        raise SSMException("InvalidInstanceInformationFilterValue", f"The emulator cannot filter by {key}.")
    return facts[key] in wanted


_API = "https://docs.aws.amazon.com/systems-manager/latest/APIReference/"

CORRECTIONS = (
    Correction(
        name="commands-run",
        statement="A command runs on each registered node it names; its code and output are its script's.",
        source=_API + "API_SendCommand.html",
        anchors=(_SEND, _LIST, _GET_INVOCATION),
        install=wrap(
            (_SEND, instead(_send_command)),
            (_LIST, instead(_list_commands)),
            (_GET_INVOCATION, instead(_get_command_invocation)),
        ),
    ),
    Correction(
        name="commands-listed-and-cancelled",
        statement="Invocations can be listed with their plugins, and those not finished can be cancelled.",
        source=_API + "API_CancelCommand.html",
        anchors=(_LIST_INVOCATIONS, _CANCEL),
        install=wrap(
            (_LIST_INVOCATIONS, instead(_list_command_invocations)), (_CANCEL, instead(_cancel_command))
        ),
    ),
    Correction(
        name="nodes-register",
        statement="An instance is a managed node once its agent has registered.",
        source=_API + "API_DescribeInstanceInformation.html",
        anchors=(_DESCRIBE_NODES,),
        install=wrap((_DESCRIBE_NODES, instead(_describe_instance_information))),
    ),
)
