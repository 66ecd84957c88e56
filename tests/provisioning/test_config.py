from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from artifacts.errors import BadRequest
from provisioning.config import BenchmarkConfig, parse_benchmark, parse_budget, parse_model

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = {"source": "m.py:net"}


def test_a_model_needs_a_source_and_nothing_else() -> None:
    model = parse_model({"model": SOURCE})
    assert (model.source, model.inputs, model.atol, model.method) == ("m.py:net", (), 1e-3, "auto")


def test_what_is_measured_is_quick_at_the_99th_percentile_unless_said() -> None:
    assert parse_benchmark({}) == BenchmarkConfig(mode="quick", percentile=99.0)


def test_the_traffic_is_the_rankings_and_not_the_loads() -> None:
    config = parse_benchmark({"benchmark": {"traffic_rps": 20, "rate": 5, "duration": 2, "slo_ms": 50}})
    assert config.traffic_rps == 20
    assert config.protocol_document() == {
        "mode": "quick",
        "slo_ms": 50.0,
        "percentile": 99.0,
        "rate": 5.0,
        "duration_s": 2.0,
    }


def test_without_a_budget_there_is_no_limit() -> None:
    assert parse_budget({}) is None
    assert parse_budget({"budget": {"max_usd": 5}}) == 5.0


@pytest.mark.parametrize(
    ("parse", "document", "said"),
    [
        (parse_model, {}, "No model is named"),
        (parse_model, {"model": 3}, "model must be a table"),
        (parse_model, {"model": {"source": 3}}, "source must be text"),
        (parse_model, {"model": SOURCE | {"inputs": "float32[1]"}}, "inputs must be a list of texts"),
        (parse_model, {"model": SOURCE | {"inputs": [1]}}, "inputs must be a list of texts"),
        (parse_model, {"model": SOURCE | {"atol": -1}}, "atol must be a number of at least 0"),
        (parse_model, {"model": SOURCE | {"atol": True}}, "atol must be a number"),
        (parse_model, {"model": SOURCE | {"method": "guess"}}, "method cannot be 'guess'"),
        (parse_model, {"model": SOURCE | {"inptus": []}}, r"Unknown key 'inptus' in \[model\]"),
        (parse_benchmark, {"benchmark": {"mode": "slow"}}, "mode cannot be 'slow'"),
        (parse_benchmark, {"benchmark": {"slo_ms": 0}}, "slo_ms must be more than 0"),
        (parse_benchmark, {"benchmark": {"rate": "fast"}}, "rate must be a number"),
        (parse_budget, {"budget": {"max_usd": -1}}, "max_usd must be a number of at least 0"),
    ],
)
def test_a_value_that_cannot_be_right_is_a_bad_request(
    parse: Callable[[dict[str, Any]], object], document: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadRequest, match=said) as caught:
        parse(document)
    assert caught.value.hint
