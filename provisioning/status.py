"""What exists of a deployment, what it costs, and how long it has to live."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from provisioning.deployment import TAG_ACCELERATOR, TAG_DEPLOYMENT, TAG_EXPIRES
from provisioning.errors import NotFound
from provisioning.pricing import EndpointCharge, HostCharge, endpoint_estimate, estimate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from provisioning.aws import Aws
    from provisioning.aws.cloudformation import StackRecord
    from provisioning.aws.ec2 import EndpointRecord, InstanceRecord
    from provisioning.pricing import PriceTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that exists: its kind, its id, its state."""

    kind: str
    id: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Balancer:
    """A load balancer: where clients reach it, and the state of each host behind it."""

    stack: str
    url: str
    hosts: Mapping[str, str]  # instance id -> "healthy", "unhealthy", "initial", "draining", ...

    @property
    def healthy(self) -> int:
        """How many hosts it sends requests to."""
        return sum(state == "healthy" for state in self.hosts.values())

    def item(self) -> Item:
        """Return the balancer as a line of the status."""
        state = f"{self.healthy} of {len(self.hosts)} hosts in rotation"
        return Item(kind=f"load balancer of {self.stack}", id=self.url, state=state)

    def as_document(self) -> dict[str, Any]:
        """Return the balancer as JSON."""
        return {
            "stack": self.stack,
            "url": self.url,
            "healthy": self.healthy,
            "hosts": dict(sorted(self.hosts.items())),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A deployment at one moment; money in USD, and None where a price is not known."""

    name: str
    region: str
    items: tuple[Item, ...]
    hourly: float | None
    spent: float | None
    expires_at: str | None
    seconds_left: float | None
    balancers: tuple[Balancer, ...] = ()

    def sentence(self) -> str:
        """Return the summary a person reads first."""
        if not self.items:
            return f"There is nothing of {self.name} in {self.region}."
        hourly = "an unknown price" if self.hourly is None else f"${self.hourly:.4f} per hour"
        spent = "" if self.spent is None else f", about ${self.spent:.4f} so far"
        return f"{self.name} in {self.region}: {hourly}{spent}; {self._life()}."

    def _life(self) -> str:
        if self.seconds_left is None:
            return "no time to live is set"
        if self.seconds_left <= 0:
            return f"its time to live ended at {self.expires_at}"
        hours, minutes = divmod(int(self.seconds_left) // 60, 60)
        return f"hosts power off in {hours} h {minutes:02} min ({self.expires_at})"

    def as_document(self) -> dict[str, Any]:
        """Return the status as JSON."""
        return {
            "deployment": self.name,
            "region": self.region,
            "hourly_usd": self.hourly,
            "spent_usd": self.spent,
            "expires_at": self.expires_at,
            "seconds_left": self.seconds_left,
            "items": [{"kind": item.kind, "id": item.id, "state": item.state} for item in self.items],
            "balancers": [balancer.as_document() for balancer in self.balancers],
        }


def observe_status(aws: Aws, name: str, prices: PriceTable, now: datetime) -> Status:
    """Ask AWS what exists of the deployment and value it; `now` is in UTC."""
    stacks = aws.cloudformation.list_stacks_of(name)
    hosts = aws.ec2.instances({TAG_DEPLOYMENT: name})
    endpoints = aws.ec2.vpc_endpoints({TAG_DEPLOYMENT: name})
    served = tuple(observe_served(aws, prices, stack.outputs["EndpointName"]) for stack in stacks
                   if "EndpointName" in stack.outputs)  # fmt: skip
    balancers = observe_balancers(aws, stacks)
    charge = _endpoint_charge(endpoints, len(balancers))
    cost = estimate(prices, aws.region, _host_charges(hosts), charge)
    # A partial sum would mislead: with one unknown price the total is unknown.
    unknown = cost.missing or any(each.hourly is None for each in served)
    hourly = None if unknown else round(cost.hourly + sum(each.hourly or 0 for each in served), 6)
    expires_at = next((stack.tags[TAG_EXPIRES] for stack in stacks if TAG_EXPIRES in stack.tags), None)
    return Status(
        name=name,
        region=aws.region,
        items=(
            *_stack_items(stacks),
            *_host_items(hosts),
            *_endpoint_items(endpoints),
            *(each.item() for each in balancers),
            *(each.item() for each in served),
        ),
        hourly=hourly,
        spent=None if hourly is None else round(hourly * _hours(stacks, now), 6),
        expires_at=expires_at,
        seconds_left=_seconds_left(expires_at, now),
        balancers=balancers,
    )


def observe_balancers(aws: Aws, stacks: tuple[StackRecord, ...]) -> tuple[Balancer, ...]:
    """Return the load balancers of the stacks, whose outputs name them, each with its hosts."""
    return tuple(_observe_balancer(aws, stack) for stack in stacks if "BalancerUrl" in stack.outputs)


def _observe_balancer(aws: Aws, stack: StackRecord) -> Balancer:
    url = stack.outputs["BalancerUrl"]
    try:
        states = aws.elbv2.target_health(stack.outputs["TargetGroup"])
    except NotFound:  # its stack is on its way out
        states = {}
    return Balancer(stack=stack.name, url=url, hosts=dict(states))


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A SageMaker endpoint, its instances, and what they cost per hour; None where that is not known."""

    name: str
    state: str
    instance_type: str
    instances: int
    hourly: float | None

    def item(self) -> Item:
        """Return the endpoint as a line of the status."""
        price = "price unknown" if self.hourly is None else f"${self.hourly:.4f}/h"
        kind = f"SageMaker endpoint, {self.instances} x {self.instance_type}, {price}"
        return Item(kind=kind, id=self.name, state=self.state)


def observe_served(aws: Aws, prices: PriceTable, name: str) -> Served:
    """Ask SageMaker how an endpoint fares, and value its instances."""
    record = aws.sagemaker.endpoint(name)
    variant = aws.sagemaker.variant(record.configuration)
    cost = endpoint_estimate(
        prices, aws.region, variant.instance_type, variant.elastic_inference, record.instances
    )
    return Served(
        name=name,
        state=record.status,
        instance_type=variant.instance_type,
        instances=record.instances,
        hourly=None if cost.missing else cost.hourly,
    )


def _hours(stacks: tuple[StackRecord, ...], now: datetime) -> float:
    """Return the hours since the first stack was made: no host can be older."""
    began = min((stack.created for stack in stacks), default=now)
    return max((now - began).total_seconds(), 0.0) / 3600


def _host_charges(hosts: tuple[InstanceRecord, ...]) -> tuple[HostCharge, ...]:
    return tuple(
        HostCharge(instance_type=host.instance_type, elastic_inference=_attached(host)) for host in hosts
    )


def _attached(host: InstanceRecord) -> str | None:
    accelerator = host.tags.get(TAG_ACCELERATOR, host.instance_type)
    return None if accelerator == host.instance_type else accelerator


def _endpoint_charge(endpoints: tuple[EndpointRecord, ...], balancers: int) -> EndpointCharge:
    """Return what is billed: one charge per interface endpoint and subnet it is in."""
    interfaces = [endpoint for endpoint in endpoints if endpoint.kind == "Interface"]
    number = sum(len(each.subnet_ids) for each in interfaces)
    return EndpointCharge(endpoints=number, zones=1, balancers=balancers)


def _seconds_left(expires_at: str | None, now: datetime) -> float | None:
    try:
        return (datetime.fromisoformat(expires_at or "") - now).total_seconds()
    except ValueError:  # "never", or a tag that is not ours to read
        return None


def _stack_items(stacks: tuple[StackRecord, ...]) -> tuple[Item, ...]:
    return tuple(Item(kind="stack", id=stack.name, state=stack.status) for stack in stacks)


def _host_items(hosts: tuple[InstanceRecord, ...]) -> tuple[Item, ...]:
    return tuple(
        Item(
            kind=f"host {host.tags.get(TAG_ACCELERATOR, host.instance_type)}",
            id=host.instance_id,
            state=host.state,
        )
        for host in hosts
    )


def _endpoint_items(endpoints: tuple[EndpointRecord, ...]) -> tuple[Item, ...]:
    return tuple(
        Item(
            kind=f"endpoint {endpoint.service.rpartition('.')[2]}",
            id=endpoint.endpoint_id,
            state=endpoint.state,
        )
        for endpoint in endpoints
    )
