"""Hosts, their network interfaces, and the agents that walk through the states a test gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provisioning.aws.ec2 import Ec2, InstanceRecord, InterfaceRecord
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
from tests.provisioning.declared_stacks import START

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from provisioning.errors import AwsError


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
        self.refusal: AwsError | None = None  # what a command that is sent gets for an answer

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
        if self.refusal is not None:
            raise self.refusal
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
