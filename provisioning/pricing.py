"""What things cost: a dated table with a source per figure, and the itemised hourly price of a deployment.

A price that is not in the table is missing. It is never taken from another region, and never guessed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from artifacts.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

PRICES_FILE = Path(__file__).with_name("prices.json")
UNSPECIFIED = "unspecified"  # the region of a price whose source names none
FRESH_DAYS = 90
# https://aws.amazon.com/elasticloadbalancing/pricing/: the largest of the three is what counts.
UNIT = "its first capacity unit: to 25 new connections/s, 3,000 open ones, 1 GB/h"


class PriceMissing(BadRequest):
    """The table has no price for this; an error for ranking, a warning for setup."""

    code = "price-missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """One dated figure and where it comes from."""

    name: str
    region: str  # "unspecified" when the source names none
    amount: float  # US dollars per `unit`
    unit: str  # "hour", "AZ-hour", "GB-month" or "GB"
    hourly: float  # US dollars per hour of one unit; of a GB-month, its 730th part
    as_of: str  # ISO date the table was compiled
    basis: str
    source: str
    verified: bool
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CostItem:
    """One line of an itemised bill, in US dollars per hour."""

    label: str
    quantity: float
    unit_price: float
    unit: str
    hourly: float
    basis: str
    source: str


class Chargeable(Protocol):
    """The hosts of one accelerator, as far as money is concerned; `stacks.spec.HostSpec` is one."""

    @property
    def instance_type(self) -> str:
        """The EC2 type."""

    @property
    def elastic_inference(self) -> str | None:
        """The EI accelerator attached to each host, if any."""

    @property
    def count(self) -> int:
        """How many hosts."""

    @property
    def volume_gib(self) -> int:
        """The size of each host's disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCharge:
    """Hosts that exist only on paper, to be priced."""

    instance_type: str
    elastic_inference: str | None = None
    count: int = 1
    volume_gib: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointCharge:
    """What hosts share in a network: interface endpoints, each in how many zones, and load balancers."""

    endpoints: int = 0
    zones: int = 0
    added: int = 0  # zones that endpoints which are there already are put into
    balancers: int = 0  # load balancers


NO_ENDPOINTS = EndpointCharge()


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The itemised price per hour of a deployment, and what could not be priced."""

    items: tuple[CostItem, ...]
    missing: tuple[PriceMissing, ...]

    @property
    def hourly(self) -> float:
        """US dollars per hour of everything that has a price."""
        return sum(item.hourly for item in self.items)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTable:
    """The dated prices, by instance type or item and region."""

    as_of: str
    basis: str
    hours_per_month: float
    instances: Mapping[tuple[str, str], Price]
    items: Mapping[tuple[str, str], Price]

    @classmethod
    def load(cls, path: Path = PRICES_FILE) -> PriceTable:
        """Return the table that ships with the tool, or another one of the same shape."""
        return _load(path)

    def hourly(self, instance_type: str, region: str) -> Price:
        """Return the hourly price of an instance type or EI accelerator, or raise PriceMissing.

        An EI accelerator was retired before its regional prices were recorded: its price has the region
        "unspecified" and says so in its note.
        """
        found = self.instances.get((instance_type, region))
        if found is None and instance_type.startswith("eia"):
            found = self.instances.get((instance_type, UNSPECIFIED))
        if found is None:
            raise PriceMissing(
                f"There is no price for {instance_type} in {region} in the table of {self.as_of}.",
                f"`amazonei prices` lists what is known; add a sourced row for {instance_type} in {region} "
                "to prices.json.",
            )
        return found

    def item(self, name: str, region: str) -> Price:
        """Return the price of a thing that is not an instance ("gp3-storage"), or raise PriceMissing."""
        found = self.items.get((name, region))
        if found is None:
            raise PriceMissing(
                f"There is no price for {name} in {region} in the table of {self.as_of}.",
                f"Add a sourced item for {name} in {region} to prices.json.",
            )
        return found

    def age_warning(self, today: date) -> str | None:
        """Return a warning when the table is older than 90 days."""
        days = (today - date.fromisoformat(self.as_of)).days
        if days <= FRESH_DAYS:
            return None
        return f"The prices are {days} days old (compiled {self.as_of})."


def hourly_items(
    prices: PriceTable, region: str, hosts: Sequence[Chargeable], charge: EndpointCharge = NO_ENDPOINTS
) -> tuple[CostItem, ...]:
    """Return the itemised price per hour of hosts and endpoints, or raise PriceMissing.

    The endpoints' charge per GB is left out: requests and answers of a benchmark do not pass them. Of a
    balancer's capacity units one is counted, which is billed when there is traffic; see `UNIT`.
    """
    return tuple(price() for price in _charges(prices, region, hosts, charge))


def estimate(
    prices: PriceTable, region: str, hosts: Sequence[Chargeable], charge: EndpointCharge = NO_ENDPOINTS
) -> Estimate:
    """Return the same as `hourly_items`, keeping what could not be priced instead of raising it."""
    items: list[CostItem] = []
    missing: list[PriceMissing] = []
    for price in _charges(prices, region, hosts, charge):
        try:
            items.append(price())
        except PriceMissing as problem:
            missing.append(problem)
    return Estimate(items=tuple(items), missing=tuple(missing))


def endpoint_estimate(
    prices: PriceTable, region: str, instance_type: str, elastic_inference: str | None, count: int
) -> Estimate:
    """Return what the instances of a SageMaker endpoint cost per hour, by SageMaker's names of them."""
    items: list[CostItem] = []
    missing: list[PriceMissing] = []
    for name in filter(None, (instance_type, elastic_inference)):
        try:
            items.append(_item(prices.hourly(name, region), f"{name} of the endpoint", count))
        except PriceMissing as problem:
            missing.append(problem)
    return Estimate(items=tuple(items), missing=tuple(missing))


def nat_gateway(prices: PriceTable, region: str) -> CostItem | None:
    """Return what one NAT gateway would cost per hour, or None where no source says it."""
    try:
        return _item(prices.item("nat-gateway", region), "NAT gateway", 1)
    except PriceMissing:
        return None


def _charges(
    prices: PriceTable, region: str, hosts: Sequence[Chargeable], charge: EndpointCharge
) -> Iterator[Callable[[], CostItem]]:
    """Yield one look-up per line of the bill, so that one missing price does not hide the others."""
    for host in hosts:
        yield from _host_charges(prices, region, host)
    if charge.endpoints:
        label = f"{charge.endpoints} interface endpoints in {charge.zones} zones"
        number = charge.endpoints * charge.zones
        yield lambda: _item(prices.item("interface-endpoint", region), label, number)
    if charge.added:
        yield lambda: _item(
            prices.item("interface-endpoint", region), "zones added to existing endpoints", charge.added
        )
    if charge.balancers:
        yield lambda: _item(prices.item("load-balancer", region), "internal load balancer", charge.balancers)
        yield lambda: _item(prices.item("load-balancer-unit", region), UNIT, charge.balancers)


def _host_charges(prices: PriceTable, region: str, host: Chargeable) -> Iterator[Callable[[], CostItem]]:
    count, attached = host.count, host.elastic_inference
    yield lambda: _item(prices.hourly(host.instance_type, region), f"{host.instance_type} host", count)
    if attached is not None:
        yield lambda: _item(prices.hourly(attached, region), f"{attached} accelerator", count)
    disk = f"{host.volume_gib} GiB gp3 disk"
    yield lambda: _item(prices.item("gp3-storage", region), disk, count * host.volume_gib)


def _item(price: Price, label: str, quantity: float) -> CostItem:
    where = "region not stated" if price.region == UNSPECIFIED else price.region
    doubt = "" if price.verified else ", unverified"
    return CostItem(
        label=label,
        quantity=quantity,
        unit_price=price.amount,
        unit=price.unit,
        hourly=quantity * price.hourly,
        basis=f"{price.basis}, {where}, {price.as_of}{doubt}",
        source=price.source,
    )


@cache
def _load(path: Path) -> PriceTable:
    document = json.loads(path.read_text(encoding="utf-8"))
    hours = float(document["hours_per_month"])
    rows = [_instance_price(row, document) for row in document["rows"]]
    items = [_item_price(row, document) for row in document["items"]]
    return PriceTable(
        as_of=document["as_of"],
        basis=document["basis"],
        hours_per_month=hours,
        instances={(price.name, price.region): price for price in rows},
        items={(price.name, price.region): price for price in items},
    )


def _instance_price(row: Mapping[str, Any], document: Mapping[str, Any]) -> Price:
    return _price(row, document, name=row["instance_type"], amount=row["hourly"], unit="hour")


def _item_price(row: Mapping[str, Any], document: Mapping[str, Any]) -> Price:
    return _price(row, document, name=row["item"], amount=row["price"], unit=row["unit"])


def _price(
    row: Mapping[str, Any], document: Mapping[str, Any], *, name: str, amount: float, unit: str
) -> Price:
    return Price(
        name=name,
        region=row["region"],
        amount=amount,
        unit=unit,
        hourly=amount / document["hours_per_month"] if unit == "GB-month" else amount,
        as_of=document["as_of"],
        basis="list price" if unit != "hour" else document["basis"],
        source=row["source"],
        verified=row.get("verified", True),
        note=row.get("note", ""),
    )
