from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.pricing import PriceMissing, PriceTable
from provisioning.ranking import Assumptions, rank
from tests.provisioning.measured import a_measurement, a_target, missing_its_limit, peaking, results_of

PRICES = PriceTable.load()
AT_PEAK = Assumptions()


def test_the_cheapest_per_million_comes_first_not_the_fastest() -> None:
    fast = a_target("g4dn.xlarge", peaking(200))  # 0.526/h
    frugal = a_target("c7i.xlarge", peaking(100))  # 0.1785/h
    ranking = rank(results_of(fast, frugal), PRICES, AT_PEAK)
    assert [(row.result.accelerator, row.rank) for row in ranking.rows] == [
        ("c7i.xlarge", 1),
        ("g4dn.xlarge", 2),
    ]
    assert [row.result.accelerator for row in ranking.best] == ["c7i.xlarge"]


def test_at_small_traffic_the_price_of_one_host_decides() -> None:
    big = a_target("g4dn.xlarge", peaking(2000))
    small = a_target("c5.large", peaking(30))
    at_peak = rank(results_of(big, small), PRICES, AT_PEAK)
    at_traffic = rank(results_of(big, small), PRICES, Assumptions(traffic_rps=20))
    assert at_peak.rows[0].result.accelerator == "g4dn.xlarge"
    assert at_traffic.rows[0].result.accelerator == "c5.large"


def test_overlapping_intervals_share_a_rank_and_the_next_rank_is_skipped() -> None:
    ranking = rank(
        results_of(
            a_target("c5.xlarge", peaking(100, low=90, high=110)),
            a_target("c7i.xlarge", peaking(101, low=95, high=115)),
            a_target("g5.xlarge", peaking(101, low=99, high=103)),
        ),
        PRICES,
        AT_PEAK,
    )
    assert [row.rank for row in ranking.rows] == [1, 1, 3]
    assert ranking.rows[0].tie_with == ("c7i.xlarge",)
    assert ranking.rows[1].tie_with == ("c5.xlarge",)
    assert ranking.rows[2].tie_with == ()


def test_a_chain_of_overlaps_does_not_tie_its_ends() -> None:
    ranking = rank(
        results_of(
            a_target("c5.xlarge", peaking(100, low=95, high=105)),
            a_target("m5.xlarge", peaking(104, low=100, high=108)),
            a_target("g4dn.xlarge", peaking(268, low=260, high=275)),
        ),
        PRICES,
        AT_PEAK,
    )
    ends = {row.result.accelerator: row for row in ranking.rows}
    assert ends["m5.xlarge"].rank == ends["c5.xlarge"].rank == 1
    middle, last = ends["m5.xlarge"].cost, ends["g4dn.xlarge"].cost
    assert middle is not None
    assert last is not None
    assert middle.decisive.overlaps(last.decisive)
    assert ends["g4dn.xlarge"].rank == 3


def test_three_repeats_give_the_median_and_their_own_interval() -> None:
    target = a_target("c7i.xlarge", peaking(90), peaking(120), peaking(100))
    row = rank(results_of(target), PRICES, AT_PEAK).rows[0]
    assert row.peak_rps is not None
    assert (row.peak_rps.value, row.peak_rps.low, row.peak_rps.high) == (100, 90, 120)
    assert "3 repeats" in row.interval_basis
    assert row.measurement is target.measurements[2]


def test_fewer_repeats_say_how_ties_were_computed() -> None:
    row = rank(results_of(a_target("c7i.xlarge", peaking(100, low=100, high=112))), PRICES, AT_PEAK).rows[0]
    assert row.peak_rps is not None
    assert (row.peak_rps.low, row.peak_rps.high) == (100, 112)
    assert "fewer than 3 repeats (1)" in row.interval_basis
    assert "lowest that did not" in row.interval_basis


def test_targets_that_cannot_be_ranked_come_last_with_their_reason() -> None:
    ranking = rank(
        results_of(
            a_target("inf2.xlarge", failure="no capacity in us-west-2a"),
            a_target("c5.large", missing_its_limit()),
            a_target("g5.xlarge", peaking(500), parity_passed=False),
            a_target("m5.large"),
            a_target("c7i.xlarge", peaking(100)),
        ),
        PRICES,
        AT_PEAK,
    )
    assert [row.rank for row in ranking.rows] == [1, None, None, None, None]
    assert [row.reason for row in ranking.rows[1:]] == [
        "no capacity in us-west-2a",
        "limit missed: even one request at a time takes 30.0 ms",
        "its answers differ from the eager model's by 0.5",
        "nothing was measured",
    ]


def test_one_missed_repeat_is_a_missed_limit() -> None:
    target = a_target("c7i.xlarge", peaking(100), missing_its_limit("p90 is over it"), peaking(101))
    row = rank(results_of(target), PRICES, AT_PEAK).rows[0]
    assert row.rank is None
    assert row.reason == "limit missed (in 1 of 3 repeats): p90 is over it"


def test_emulated_figures_are_never_ranked_beside_real_ones() -> None:
    emulated = a_target("inf2.xlarge", peaking(10_000), emulated=True, stand_in=True)
    real = a_target("c7i.xlarge", peaking(100))
    ranking = rank(results_of(emulated, real), PRICES, AT_PEAK)
    assert ranking.emulated
    assert [row.result.accelerator for row in ranking.best] == ["c7i.xlarge"]
    assert "emulated host" in ranking.rows[1].reason


def test_emulated_figures_alone_are_ranked_and_marked() -> None:
    ranking = rank(results_of(a_target("c7i.xlarge", peaking(100), emulated=True)), PRICES, AT_PEAK)
    assert ranking.rows[0].rank == 1
    assert ranking.rows[0].to_json()["emulated"] is True


def test_a_missing_price_is_an_error_that_names_what_is_missing() -> None:
    results = results_of(a_target("g6.xlarge", peaking(100)), region="eu-west-1")
    with pytest.raises(PriceMissing, match=r"g6\.xlarge in eu-west-1") as caught:
        rank(results, PRICES, AT_PEAK)
    assert caught.value.exit_code == 2
    assert "prices.json" in caught.value.hint


def test_a_row_is_the_json_the_contract_promises() -> None:
    target = a_target("c7i.xlarge", a_measurement())
    (document,) = rank(results_of(target), PRICES, Assumptions(traffic_rps=20)).to_json()
    json.dumps(document, allow_nan=False)
    assert set(document) >= {
        "accelerator",
        "lane",
        "parity",
        "latency_ms",
        "throughput_rps",
        "slo",
        "cost_per_million",
        "rank",
        "tie_with",
    }
    assert document["parity"] == {"max_abs_diff": 0.5, "atol": 1e-3, "passed": True}
    assert set(document["latency_ms"]) >= {"p50", "p90", "p99", "n", "confidence"}
    assert document["latency_ms"]["p90"] <= document["latency_ms"]["upper"]["p90"] <= 20
    assert document["slo"]["met"] is True
    assert document["slo"]["claimed_percentile"] == 90
    assert set(document["cost_per_million"]) >= {"at_peak", "at_traffic", "price_basis", "as_of"}
    assert "on-demand" in document["cost_per_million"]["price_basis"]
    assert "us-west-2" in document["cost_per_million"]["price_basis"]


def test_without_a_limit_nothing_is_said_to_be_met() -> None:
    target = a_target("c7i.xlarge", a_measurement(slo_ms=None))
    (document,) = rank(results_of(target), PRICES, AT_PEAK).to_json()
    assert document["slo"]["met"] is None
    assert document["rank"] == 1
    assert "no latency limit" in document["reason"]


def test_too_few_samples_for_p99_are_a_state_and_not_a_figure() -> None:
    (document,) = rank(results_of(a_target("c7i.xlarge", missing_its_limit())), PRICES, AT_PEAK).to_json()
    assert document["latency_ms"]["p99"] is None
    assert document["latency_ms"]["state"]["p99"] == "insufficient samples"


@given(st.lists(st.floats(1, 1e4), min_size=2, max_size=6), st.none() | st.floats(1, 1e3))
def test_ranks_rise_with_cost_and_ties_are_mutual(peaks: list[float], traffic: float | None) -> None:
    names = ("c5.large", "c5.xlarge", "m5.large", "c7i.xlarge", "g4dn.xlarge", "inf2.xlarge")
    targets = [
        a_target(name, peaking(peak, low=peak * 0.9, high=peak * 1.1))
        for name, peak in zip(names, peaks, strict=False)
    ]
    ranking = rank(results_of(*targets), PRICES, Assumptions(traffic_rps=traffic))
    ranks = [row.rank for row in ranking.rows if row.rank is not None]
    assert ranks == sorted(ranks)
    assert ranks[0] == 1
    rows = {row.result.accelerator: row for row in ranking.rows}
    for row in ranking.rows:
        for other in row.tie_with:
            assert row.result.accelerator in rows[other].tie_with
            assert rows[other].rank == row.rank
