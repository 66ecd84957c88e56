"""What exists of a deployment, what it costs, and how long it has to live."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from provisioning.deployment import TAG_ACCELERATOR, TAG_DEPLOYMENT, TAG_EXPIRES
from provisioning.pricing import PriceMissing

if TYPE_CHECKING:
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
class Status:
    """A deployment at one moment; money in USD, and None where a price is not known."""

    name: str
    region: str
    items: tuple[Item, ...]
    hourly: float | None
    spent: float | None
    expires_at: str | None
    seconds_left: float | None

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
        }


def observe_status(aws: Aws, name: str, prices: PriceTable, now: datetime) -> Status:
    """Ask AWS what exists of the deployment and value it; `now` is in UTC."""
    stacks = aws.cloudformation.list_stacks_of(name)
    hosts = aws.ec2.instances({TAG_DEPLOYMENT: name})
    endpoints = aws.ec2.vpc_endpoints({TAG_DEPLOYMENT: name})
    charges = (*_host_charges(hosts, aws.region, prices), *_endpoint_charges(endpoints, stacks, prices))
    expires_at = next((stack.tags[TAG_EXPIRES] for stack in stacks if TAG_EXPIRES in stack.tags), None)
    return Status(
        name=name,
        region=aws.region,
        items=(*_stack_items(stacks), *_host_items(hosts), *_endpoint_items(endpoints)),
        hourly=_total([charge.hourly for charge in charges]),
        spent=_total([charge.spent(now) for charge in charges]),
        expires_at=expires_at,
        seconds_left=_seconds_left(expires_at, now),
    )


@dataclass(frozen=True, slots=True)
class _Charge:
    """What one thing costs per hour (None when unknown), and since when."""

    hourly: float | None
    since: datetime

    def spent(self, now: datetime) -> float | None:
        hours = max((now - self.since).total_seconds(), 0.0) / 3600
        return None if self.hourly is None else self.hourly * hours


def _total(amounts: list[float | None]) -> float | None:
    """Return the sum, or None as soon as one amount is unknown: a partial sum would mislead."""
    known = [amount for amount in amounts if amount is not None]
    return round(sum(known), 6) if len(known) == len(amounts) else None


def _host_charges(hosts: tuple[InstanceRecord, ...], region: str, prices: PriceTable) -> tuple[_Charge, ...]:
    return tuple(
        _Charge(_hourly(prices, instance_type, region), host.launched)
        for host in hosts
        if host.launched is not None
        for instance_type in _priced_types(host)
    )


def _priced_types(host: InstanceRecord) -> tuple[str, ...]:
    """Return what is billed for the host: its type, and the accelerator attached to it."""
    accelerator = host.tags.get(TAG_ACCELERATOR, host.instance_type)
    return (host.instance_type,) if accelerator == host.instance_type else (host.instance_type, accelerator)


def _hourly(prices: PriceTable, instance_type: str, region: str) -> float | None:
    try:
        return prices.hourly(instance_type, region).hourly
    except PriceMissing:
        return None


def _endpoint_charges(
    endpoints: tuple[EndpointRecord, ...], stacks: tuple[StackRecord, ...], prices: PriceTable
) -> tuple[_Charge, ...]:
    since = min((stack.created for stack in stacks), default=None)
    interfaces = [endpoint for endpoint in endpoints if endpoint.kind == "Interface"]
    if since is None:
        return ()
    return tuple(
        _Charge(prices.interface_endpoint_az_hour * len(endpoint.subnet_ids), since)
        for endpoint in interfaces
    )


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
