from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts.errors import BadRequest
from provisioning.cost import Assumptions, Interval, cost_of, cost_per_million, hosts_needed
from provisioning.pricing import EndpointCharge, HostCharge, PriceTable

PRICES = PriceTable.load()
rates = st.floats(0.1, 1e5)


def exactly(rps: float) -> Interval:
    return Interval(value=rps, low=rps, high=rps)


def test_the_formula_gives_the_published_figure() -> None:
    # inf1.xlarge at 1,056 inferences/s was once printed as $0.060 per million at this price.
    assert cost_per_million(0.228, 1056) == pytest.approx(0.060, abs=0.0005)


@pytest.mark.parametrize(
    ("traffic", "peak", "utilization", "hosts"),
    [
        (1, 100, 1, 1),
        (100, 100, 1, 1),
        (101, 100, 1, 2),
        (70, 100, 0.7, 1),
        (71, 100, 0.7, 2),
        (7, 10, 0.7, 1),
    ],
)
def test_hosts_are_whole(traffic: float, peak: float, utilization: float, hosts: int) -> None:
    assert hosts_needed(traffic, peak, utilization) == hosts


@given(rates, rates, st.floats(0.05, 1))
def test_the_hosts_carry_the_traffic_and_one_fewer_would_not(
    traffic: float, peak: float, utilization: float
) -> None:
    hosts = hosts_needed(traffic, peak, utilization)
    assert hosts * peak * utilization >= traffic * (1 - 1e-6)
    assert hosts == 1 or (hosts - 1) * peak * utilization < traffic


def test_disk_and_endpoints_are_part_of_the_cost() -> None:
    assumptions = Assumptions(volume_gib=100, endpoints=EndpointCharge(endpoints=3, zones=2))
    cost = cost_of(HostCharge(instance_type="c7i.xlarge"), exactly(100), PRICES, "us-west-2", assumptions)
    hourly = 0.1785 + 100 * 0.08 / 730 + 0.06
    assert cost.hourly == pytest.approx(hourly)
    assert cost.at_peak.value == pytest.approx(hourly / 360_000 * 1e6)
    assert cost.at_traffic is None
    assert cost.decisive is cost.at_peak


def test_at_the_users_traffic_hosts_multiply_and_endpoints_do_not() -> None:
    assumptions = Assumptions(traffic_rps=250, volume_gib=100, endpoints=EndpointCharge(endpoints=1, zones=1))
    cost = cost_of(HostCharge(instance_type="c7i.xlarge"), exactly(100), PRICES, "us-west-2", assumptions)
    assert cost.hosts_at_traffic == 3
    assert cost.at_traffic is not None
    hourly = 3 * (0.1785 + 100 * 0.08 / 730) + 0.01
    assert cost.at_traffic.value == pytest.approx(hourly / (3600 * 250) * 1e6)
    assert cost.decisive is cost.at_traffic


def test_hosts_with_an_attached_accelerator_pay_for_the_endpoints_that_only_they_need() -> None:
    assumptions = Assumptions(
        endpoints=EndpointCharge(endpoints=2, zones=2),
        endpoints_of_attached=EndpointCharge(endpoints=3, zones=2),
    )
    attached = HostCharge(instance_type="m5.large", elastic_inference="eia2.medium", volume_gib=0)
    plain = HostCharge(instance_type="m5.large", volume_gib=0)
    hourly = [
        sum(
            item.hourly
            for item in cost_of(host, exactly(10), PRICES, "us-west-2", assumptions).items
            if "endpoint" in item.label
        )
        for host in (plain, attached)
    ]
    assert hourly == pytest.approx([0.04, 0.06])


def test_an_attached_accelerator_is_paid_for() -> None:
    host = HostCharge(instance_type="m5.large", elastic_inference="eia2.medium", volume_gib=0)
    cost = cost_of(host, exactly(10), PRICES, "us-west-2", Assumptions())
    assert cost.hourly == pytest.approx(0.216)


@given(rates, st.floats(1, 3), st.floats(1, 3), st.none() | rates)
def test_the_interval_holds_the_value_and_turns_the_peak_around(
    peak: float, below: float, above: float, traffic: float | None
) -> None:
    interval = Interval(value=peak, low=peak / below, high=peak * above)
    host = HostCharge(instance_type="c7i.xlarge")
    cost = cost_of(host, interval, PRICES, "us-west-2", Assumptions(traffic_rps=traffic))
    for found in (cost.at_peak, cost.at_traffic or cost.at_peak):
        assert found.low <= found.value <= found.high


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [((1, 2), (2, 3), True), ((1, 2), (2.01, 3), False), ((1, 9), (4, 5), True), ((4, 5), (1, 3), False)],
)
def test_overlap_is_symmetric(
    first: tuple[float, float], second: tuple[float, float], expected: bool
) -> None:
    one = Interval(value=first[0], low=first[0], high=first[1])
    other = Interval(value=second[0], low=second[0], high=second[1])
    assert one.overlaps(other) is expected
    assert other.overlaps(one) is expected


def test_senseless_assumptions_are_refused() -> None:
    with pytest.raises(BadRequest, match="traffic must be more than 0"):
        Assumptions(traffic_rps=0)
    for utilization in (0, 1.1):
        with pytest.raises(BadRequest, match="utilization must be above 0"):
            Assumptions(utilization=utilization)
