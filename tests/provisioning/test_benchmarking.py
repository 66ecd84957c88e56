from __future__ import annotations

import re
from dataclasses import replace

import pytest

from artifacts.errors import BadRequest
from artifacts.measure.protocol import Mode, Protocol
from artifacts.serve.document import LONGEST_EXECUTION_S, host_document
from provisioning.benchmarking import benchmark, time_for
from tests.provisioning.operated import World

LONG = Protocol(mode=Mode.MLPERF, duration_s=600)


def test_a_command_may_take_what_the_document_s_pattern_lets_through() -> None:
    pattern = host_document()["parameters"]["ExecutionTimeout"]["allowedPattern"]
    assert re.search(pattern, str(LONGEST_EXECUTION_S))
    assert not re.search(pattern, str(LONGEST_EXECUTION_S + 1))


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("sweep", [False, True])
def test_each_mode_fits_as_it_is(mode: Mode, *, sweep: bool) -> None:
    assert time_for(Protocol(mode=mode), sweep=sweep) <= LONGEST_EXECUTION_S


def test_what_takes_a_host_too_long_is_refused_before_anything_is_sent() -> None:
    world = World()
    with pytest.raises(BadRequest) as caught:
        benchmark(world.calls, "c7i.xlarge", LONG, sweep=True)
    assert caught.value.message == "Measuring could take 150,560 s; a command on a host may take 99,999 s."
    assert caught.value.hint == "Pass --duration 336, or less; or leave out --sweep."
    assert world.bucket.requests == []
    assert world.declared.ssm.calls == []
    assert time_for(LONG) == 9110 + 300


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("sweep", [False, True])
def test_the_duration_that_is_offered_is_the_longest_that_fits(mode: Mode, *, sweep: bool) -> None:
    with pytest.raises(BadRequest) as caught:
        time_for(Protocol(mode=mode, duration_s=1e6), sweep=sweep)
    assert "--sweep" not in caught.value.hint  # once would take too long as well
    offered = int(caught.value.hint.split()[2].rstrip(","))
    fits = Protocol(mode=mode, duration_s=offered)
    assert time_for(fits, sweep=sweep) <= LONGEST_EXECUTION_S
    with pytest.raises(BadRequest):
        time_for(replace(fits, duration_s=offered + 1), sweep=sweep)
