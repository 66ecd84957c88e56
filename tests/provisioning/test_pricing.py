from __future__ import annotations

import json
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts import targets
from artifacts.errors import BadRequest
from provisioning.pricing import (
    PRICES_FILE,
    EndpointCharge,
    PriceMissing,
    PriceTable,
    estimate,
    hourly_items,
)
from stacks.spec import HostSpec

if TYPE_CHECKING:
    from pathlib import Path

PRICES = PriceTable.load()


def a_host(
    instance_type: str, *, elastic_inference: str | None = None, count: int = 1, volume_gib: int = 100
) -> HostSpec:
    return HostSpec(
        accelerator=elastic_inference or instance_type,
        instance_type=instance_type,
        image_parameter="/aws/service/x",
        interpreter="/bin/python",
        elastic_inference=elastic_inference,
        count=count,
        volume_gib=volume_gib,
    )


def test_every_row_has_a_source_a_region_and_a_price_above_nothing() -> None:
    for price in (*PRICES.instances.values(), *PRICES.items.values()):
        assert price.source
        assert price.region == "unspecified" or price.region.count("-") == 2
        assert price.amount > 0 or price.name == "s3-gateway-endpoint"


def test_no_row_is_there_twice() -> None:
    document = json.loads(PRICES_FILE.read_text())
    assert len(PRICES.instances) == len(document["rows"])
    assert len(PRICES.items) == len(document["items"])


def test_every_target_that_can_still_be_had_is_priced_where_people_begin() -> None:
    wanted = [target.instance_type for target in targets.catalogue().values() if target.instance_type]
    pairs = [(name, region) for name in wanted for region in ("us-east-1", "us-west-2")]
    unpriced = [pair for pair in pairs if pair not in PRICES.instances]
    assert unpriced == [("trn2.48xlarge", "us-east-1"), ("trn2.48xlarge", "us-west-2")]


@pytest.mark.parametrize(
    ("instance_type", "region", "hourly"),
    [
        ("inf1.xlarge", "us-west-2", 0.228),
        ("inf2.xlarge", "eu-west-1", 0.94775),
        ("c7g.xlarge", "us-west-2", 0.145),
        ("c7i.xlarge", "us-east-1", 0.1785),
    ],
)
def test_a_known_price_is_dated_and_sourced(instance_type: str, region: str, hourly: float) -> None:
    price = PRICES.hourly(instance_type, region)
    assert price.hourly == hourly
    assert price.region == region
    assert date.fromisoformat(price.as_of) <= date(2026, 11, 21)
    assert "on-demand" in price.basis


def test_a_price_is_never_taken_from_another_region() -> None:
    with pytest.raises(PriceMissing) as caught:
        PRICES.hourly("inf2.xlarge", "ca-central-1")
    assert isinstance(caught.value, BadRequest)
    assert "inf2.xlarge in ca-central-1" in caught.value.message
    assert "prices.json" in caught.value.hint


def test_a_price_whose_source_names_no_region_is_not_used_for_any() -> None:
    with pytest.raises(PriceMissing, match="trn2"):
        PRICES.hourly("trn2.48xlarge", "us-east-1")


def test_an_elastic_inference_price_says_that_its_region_is_not_stated() -> None:
    price = PRICES.hourly("eia2.medium", "us-west-2")
    assert (price.hourly, price.region) == (0.12, "unspecified")
    assert not PRICES.hourly("eia1.large", "us-west-2").verified


def test_what_was_assumed_equal_in_another_region_is_marked_unverified() -> None:
    assert not PRICES.hourly("g6.xlarge", "us-west-2").verified
    assert PRICES.hourly("g6.xlarge", "us-east-1").verified


def test_a_host_is_itemised_with_its_accelerator_and_its_disk() -> None:
    host = a_host("m5.large", elastic_inference="eia2.medium", count=2, volume_gib=50)
    instance, accelerator, disk = hourly_items(PRICES, "us-west-2", [host])
    assert (instance.label, instance.quantity, instance.hourly) == ("m5.large host", 2, 0.192)
    assert (accelerator.label, accelerator.hourly) == ("eia2.medium accelerator", 0.24)
    assert "region not stated" in accelerator.basis
    assert (disk.quantity, disk.unit_price, disk.unit) == (100, 0.08, "GB-month")
    assert disk.hourly == pytest.approx(100 * 0.08 / 730)


def test_endpoints_are_charged_per_zone() -> None:
    items = hourly_items(PRICES, "us-west-2", [], EndpointCharge(endpoints=3, zones=2))
    assert [item.quantity for item in items] == [6]
    assert items[0].hourly * 730 == pytest.approx(43.8)


def test_setup_sees_every_missing_price_and_the_sum_of_the_others() -> None:
    hosts = [a_host("inf2.xlarge"), a_host("trn2.48xlarge")]
    found = estimate(PRICES, "us-west-2", hosts, EndpointCharge(endpoints=1, zones=2))
    assert [problem.message.split(" in ")[0] for problem in found.missing] == [
        "There is no price for trn2.48xlarge"
    ]
    assert found.hourly == pytest.approx(0.7582 + 2 * 100 * 0.08 / 730 + 0.02)


def test_a_region_without_prices_is_all_missing_and_not_free() -> None:
    found = estimate(PRICES, "af-south-1", [a_host("c5.large")], EndpointCharge(endpoints=1, zones=2))
    assert found.items == ()
    assert len(found.missing) == 3


@given(st.integers(1, 50), st.integers(8, 1000))
def test_twice_the_hosts_cost_twice(count: int, volume_gib: int) -> None:
    def cost(number: int) -> float:
        host = a_host("c7i.xlarge", count=number, volume_gib=volume_gib)
        return sum(item.hourly for item in hourly_items(PRICES, "us-west-2", [host]))

    assert cost(2 * count) == pytest.approx(2 * cost(count))


@pytest.mark.parametrize(("days", "warned"), [(0, False), (90, False), (91, True)])
def test_old_prices_are_warned_of(days: int, warned: bool) -> None:
    today = date.fromisoformat(PRICES.as_of) + timedelta(days=days)
    assert (PRICES.age_warning(today) is not None) == warned


def test_another_table_can_be_loaded(tmp_path: Path) -> None:
    document = json.loads(PRICES_FILE.read_text())
    document["rows"] = [{"instance_type": "x1.large", "region": "us-east-1", "hourly": 1, "source": "me"}]
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(document))
    assert PriceTable.load(path).hourly("x1.large", "us-east-1").source == "me"
