"""What a million inferences cost on one target, as an interval. Pure.

    cost per million = hourly charges / (3600 x requests per second) x 1,000,000

at the measured peak of one host, and at the user's traffic with whole hosts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artifacts.errors import BadRequest
from provisioning.pricing import (
    NO_ENDPOINTS,
    CostItem,
    EndpointCharge,
    HostCharge,
    PriceTable,
    hourly_items,
)

if TYPE_CHECKING:
    from collections.abc import Callable

FORMULA = "hourly charges / (3600 x requests per second) x 1,000,000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What the user says about the traffic and the hosts; wrong values raise BadRequest."""

    traffic_rps: float | None = None
    utilization: float = 1.0  # the share of its peak a host is planned to carry
    volume_gib: int = 100
    endpoints: EndpointCharge = NO_ENDPOINTS
    endpoints_of_attached: EndpointCharge | None = None  # where an accelerator is attached, if it differs

    def __post_init__(self) -> None:
        if self.traffic_rps is not None and not self.traffic_rps > 0:
            raise BadRequest(
                f"The traffic must be more than 0 requests/s, not {self.traffic_rps:g}.",
                "Leave --traffic out to compare at the peak.",
            )
        if not 0 < self.utilization <= 1:
            raise BadRequest(
                f"The utilization must be above 0 and at most 1, not {self.utilization:g}.",
                "0.7 plans a host to carry 70 % of its measured peak.",
            )

    def endpoints_of(self, host: HostCharge) -> EndpointCharge:
        """Return the endpoints of a network with such hosts."""
        if host.elastic_inference is None or self.endpoints_of_attached is None:
            return self.endpoints
        return self.endpoints_of_attached


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure and the range the measurement leaves it in."""

    value: float
    low: float
    high: float

    def overlaps(self, other: Interval) -> bool:
        """Return whether the two cannot be told apart."""
        return self.low <= other.high and other.low <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a million inferences cost on one target, in US dollars."""

    at_peak: Interval
    at_traffic: Interval | None
    hosts_at_traffic: int | None
    items: tuple[CostItem, ...]  # the hourly charges of one host and the endpoints
    price_basis: str
    as_of: str

    @property
    def decisive(self) -> Interval:
        """The cost a ranking goes by: at the user's traffic when it is known."""
        return self.at_traffic or self.at_peak

    @property
    def hourly(self) -> float:
        """US dollars per hour of one host and the endpoints."""
        return sum(item.hourly for item in self.items)


def cost_per_million(hourly: float, rps: float) -> float:
    """Return US dollars per million inferences of hourly charges at a rate."""
    return hourly / (3600 * rps) * 1_000_000


def hosts_needed(traffic_rps: float, peak_rps: float, utilization: float) -> int:
    """Return how many whole hosts carry the traffic."""
    # A ratio that is whole but for rounding (0.7 * 10 = 7.000000000000001) must not cost one host more.
    return max(1, math.ceil(traffic_rps / (peak_rps * utilization) - 1e-9))


def cost_of(
    host: HostCharge, peak: Interval, prices: PriceTable, region: str, assumptions: Assumptions
) -> Cost:
    """Return the cost of serving with hosts of this kind, or raise PriceMissing."""
    host_items = hourly_items(prices, region, [host])
    shared_items = hourly_items(prices, region, [], assumptions.endpoints_of(host))
    per_host = sum(item.hourly for item in host_items)
    shared = sum(item.hourly for item in shared_items)
    at_traffic, hosts = None, None
    if (traffic := assumptions.traffic_rps) is not None:
        hosts = hosts_needed(traffic, peak.value, assumptions.utilization)
        at_traffic = _over(peak, _fleet_cost(per_host, shared, traffic, assumptions.utilization))
    return Cost(
        at_peak=_over(peak, lambda rps: cost_per_million(per_host + shared, rps)),
        at_traffic=at_traffic,
        hosts_at_traffic=hosts,
        items=(*host_items, *shared_items),
        price_basis=f"{prices.basis}, {region}",
        as_of=prices.as_of,
    )


def _fleet_cost(
    per_host: float, shared: float, traffic: float, utilization: float
) -> Callable[[float], float]:
    """Return the cost per million at the traffic as a function of one host's peak."""

    def cost(peak_rps: float) -> float:
        return cost_per_million(hosts_needed(traffic, peak_rps, utilization) * per_host + shared, traffic)

    return cost


def _over(peak: Interval, cost: Callable[[float], float]) -> Interval:
    """Return the cost over the peak's interval: the higher the peak, the lower the cost."""
    return Interval(value=cost(peak.value), low=cost(peak.high), high=cost(peak.low))
