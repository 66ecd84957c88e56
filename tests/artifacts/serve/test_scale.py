from __future__ import annotations

import dataclasses
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from artifacts.archive import open_verified
from artifacts.errors import BadRequest
from artifacts.serve.scale import Scale, batch_limit, decide
from artifacts.serve.traffic import Traffic, read_traffic
from artifacts.specs import parse_specs

if TYPE_CHECKING:
    from artifacts.compile.request import CompileResult
    from artifacts.manifest import Manifest


@pytest.fixture
def manifest(two_layers: CompileResult) -> Manifest:
    with closing(open_verified(two_layers.artifact)) as contents:
        return contents.manifest


def test_what_is_left_open_is_one_worker_per_cpu_and_what_the_artifact_takes(manifest: Manifest) -> None:
    ranged = dataclasses.replace(manifest, inputs=parse_specs(("x=float32[1..8,4]",)))
    assert batch_limit(ranged) == 8
    assert decide(Scale(), ranged, 4) == Scale(workers=4, batch=8)
    assert decide(Scale(workers=2, batch=3), ranged, 4) == Scale(workers=2, batch=3)
    assert decide(Scale(), manifest, 4) == Scale(workers=4, batch=1)


def test_more_at_once_than_the_artifact_takes_is_refused(manifest: Manifest) -> None:
    with pytest.raises(BadRequest, match="takes 1 request at once, not 8"):
        decide(Scale(batch=8), manifest, 1)


def test_only_what_was_asked_for_has_to_be_as_it_is() -> None:
    running = Scale(workers=4, batch=8)
    assert Scale().allows(running)
    assert Scale(workers=4).allows(running)
    assert not Scale(workers=2).allows(running)
    assert not Scale(workers=4, batch=1).allows(running)


def test_traffic_tells_what_the_client_did_from_what_we_failed_at() -> None:
    metrics = """\
# TYPE mosec_service_throughput counter
mosec_service_throughput_total{code="200",endpoint="/inference"} 90
mosec_service_throughput_total{code="422",endpoint="/inference"} 5
mosec_service_throughput_total{code="408",endpoint="/inference"} 2
mosec_service_throughput_total{code="429",endpoint="/inference"} 1
mosec_service_throughput_total{code="500",endpoint="/inference"} 2
mosec_service_remaining_task 4
"""
    assert read_traffic(metrics) == Traffic(requests=100, refused=5, errors=5, waiting=4)
    assert read_traffic("") == Traffic(requests=0, refused=0, errors=0, waiting=0)
