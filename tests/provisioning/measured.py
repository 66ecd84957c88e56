"""Results as a benchmark leaves them, made in virtual time, with any peak a test wants."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from artifacts.measure.campaign import Campaign
from artifacts.measure.measurement import Measurement, Peak
from artifacts.measure.protocol import Mode, Protocol
from artifacts.measure.results import ParityRecord, Results, TargetResult
from tests.artifacts.measure.simulation import SimulatedServer


@cache
def a_measurement(mode: Mode = Mode.QUICK, slo_ms: float | None = 20) -> Measurement:
    campaign = Campaign(
        driver=SimulatedServer(service_s=0.005),
        protocol=Protocol(mode=mode, slo_ms=slo_ms),
        progress=lambda _: None,
        placement="same-host",
    )
    return campaign.run(echo_rps=5000)


def peaking(rps: float, low: float | None = None, high: float | None = None) -> Measurement:
    peak = Peak(rps=rps, low_rps=low or rps, high_rps=high or rps, basis="goodput within 20 ms")
    return replace(a_measurement(), peak=peak)


def missing_its_limit(reason: str = "even one request at a time takes 30.0 ms") -> Measurement:
    return replace(a_measurement(), peak=None, best=None, reason=reason)


def a_target(
    accelerator: str,
    *measurements: Measurement,
    emulated: bool = False,
    stand_in: bool = False,
    failure: str | None = None,
    parity_passed: bool = True,
) -> TargetResult:
    ei = accelerator if accelerator.startswith("eia") else None
    return TargetResult(
        accelerator=accelerator,
        instance_type="m5.large" if ei else accelerator,
        elastic_inference=ei,
        emulated=emulated,
        stand_in=stand_in,
        lane="freeze",
        parity=ParityRecord(max_abs_diff=0.5, atol=1e-3, passed=parity_passed),
        measurements=measurements,
        failure=failure,
    )


def results_of(*targets: TargetResult, region: str = "us-west-2", model: str = "digits") -> Results:
    return Results(
        deployment="bench",
        region=region,
        created_at="2026-11-21T08:00:00+00:00",
        model=model,
        targets=targets,
    )
