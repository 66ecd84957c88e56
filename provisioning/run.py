"""The whole job: compile, set up, ship, measure, and always tear down.

Everything that can fail for free comes before anything that costs money: all artifacts are compiled and
verified before the first resource is made. One target that fails does not stop the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from artifacts.errors import AmazoneiError
from artifacts.measure.results import ParityRecord, TargetResult
from provisioning.benchmarking import benchmark
from provisioning.compiling import compile_model
from provisioning.parallel import compile_in_parallel
from provisioning.results import measurements
from provisioning.shipping import open_package, ship

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from artifacts.compile.request import CompileRequest, CompileResult
    from artifacts.measure.protocol import Protocol
    from artifacts.signature import PublicKey
    from provisioning.benchmarking import Measured
    from provisioning.operations import HostCalls
    from provisioning.results import ResultsFolder
    from provisioning.shared_cache import SharedCache
    from provisioning.wheelhouse import Gathered
    from stacks.spec import HostSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """How a job shows what it is doing: `activity` wraps a step, `say` reports inside it."""

    activity: Callable[[str], AbstractContextManager[Any]]
    say: Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """How every target of a job is measured, and where the results go."""

    protocol: Protocol
    folder: ResultsFolder
    stage: Stage
    signer: PublicKey | None = None  # who must have signed what is shipped
    wheels: Mapping[str, Gathered | None] = field(default_factory=dict)  # what hosts install, by accelerator


def compile_all(
    requests: tuple[CompileRequest, ...], stage: Stage, shared: SharedCache | None = None
) -> tuple[CompileResult, ...]:
    """Compile for every target; the first failure ends the job while nothing was created."""
    names = ", ".join(request.target for request in requests)
    with stage.activity(f"compiling {requests[0].model} for {names}"):
        return compile_in_parallel(requests, stage.say, compile_one=partial(compile_model, shared=shared))


def measure_target(
    calls: HostCalls, host: HostSpec, compiled: CompileResult, measuring: Measuring
) -> TargetResult:
    """Ship one artifact, measure it and keep the result.

    A failure becomes part of the result instead of ending the job: the other targets are still worth
    their money.
    """
    stage, entry = measuring.stage, _entry(calls, host, compiled)
    measured: tuple[Measured, ...] = ()
    try:
        with stage.activity(f"shipping {compiled.name} to {host.accelerator}"):
            package = open_package(compiled.artifact, measuring.signer)
            ship(calls, package, wheels=measuring.wheels.get(host.accelerator))
        with stage.activity(f"measuring {host.accelerator}"):
            measured = benchmark(calls, host.accelerator, measuring.protocol)
    except AmazoneiError as error:
        stage.say(f"{host.accelerator} could not be measured: {error.message}")
        result = replace(entry, failure=error.message)
    else:
        names = measuring.folder.sample_names(host.accelerator, measured)
        result = replace(entry, measurements=measurements(measured), samples=names)
    measuring.folder.keep(result, measured)
    return result


def _entry(calls: HostCalls, host: HostSpec, compiled: CompileResult) -> TargetResult:
    parity = compiled.parity
    return TargetResult(
        accelerator=host.accelerator,
        instance_type=host.instance_type,
        elastic_inference=host.elastic_inference,
        emulated=calls.emulated,
        stand_in=compiled.stand_in,
        lane=compiled.lane,
        parity=ParityRecord(max_abs_diff=parity.max_abs_diff, atol=parity.atol, passed=parity.passed),
        artifact_digest=compiled.digest,
    )
