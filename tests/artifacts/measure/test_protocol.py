from __future__ import annotations

import json
from typing import Any

import pytest

from artifacts.errors import BadRequest
from artifacts.measure.protocol import Mode, Protocol


@pytest.mark.parametrize("mode", list(Mode))
def test_a_protocol_survives_json(mode: Mode) -> None:
    protocol = Protocol(mode=mode, slo_ms=12.5, percentile=95, rate=3, duration_s=2, seed=9)
    assert Protocol.from_json(json.loads(json.dumps(protocol.to_json()))) == protocol


def test_an_empty_request_is_a_quick_run() -> None:
    assert Protocol.from_json({}) == Protocol(mode=Mode.QUICK)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"mode": "fast"}, "no benchmark mode 'fast'"),
        ({"slo": 5}, "no option 'slo'"),
        ({"slo_ms": 0}, "--slo-ms must be more than 0"),
        ({"rate": -1}, "--rate must be more than 0"),
        ({"duration_s": float("nan")}, "--duration must be more than 0"),
        ({"percentile": 100}, "between 50 and 99.9, not 100"),
        ({"max_concurrency": 0}, "0 connections"),
    ],
)
def test_bad_options_are_refused_in_words(document: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequest, match=words) as caught:
        Protocol.from_json(document)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("mode", "percentile", "claimed"),
    [
        (Mode.QUICK, 99, 90),
        (Mode.QUICK, 50, 50),
        (Mode.STANDARD, 99, 99),
        (Mode.MLPERF, 99.9, 99.9),
    ],
)
def test_quick_runs_claim_no_more_than_p90(mode: Mode, percentile: float, claimed: float) -> None:
    assert Protocol(mode=mode, percentile=percentile).claimed_percentile == claimed


@pytest.mark.parametrize(
    ("protocol", "rate", "seconds"),
    [
        (Protocol(), 100, 1.2),
        (Protocol(), 23, 2.0),  # 46 samples bound p90 at 95 % with one of them over
        (Protocol(), 1, 8.0),
        (Protocol(mode=Mode.STANDARD), 20, 1307 / 20),
        (Protocol(mode=Mode.STANDARD, duration_s=4), 20, 4),
    ],
)
def test_a_point_runs_until_it_has_the_samples_its_claim_needs(
    protocol: Protocol, rate: float, seconds: float
) -> None:
    assert protocol.point_duration_s(rate) == pytest.approx(seconds)
