from __future__ import annotations

import dataclasses
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from artifacts.archive import open_verified
from artifacts.errors import BadRequest
from artifacts.serve import rollback
from artifacts.serve.current import Current, switch_current
from artifacts.serve.requests import RollbackRequest
from artifacts.serve.scale import Scale, batch_limit, decide
from artifacts.serve.traffic import Traffic, read_traffic
from artifacts.serve.versions import Previous, note_previous, read_previous
from artifacts.specs import parse_specs

if TYPE_CHECKING:
    from pathlib import Path

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


def test_a_version_from_before_is_served_again_with_the_workers_and_the_batch_it_had(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranged = dataclasses.replace(manifest, inputs=parse_specs(("x=float32[1..8,4]",)))
    served: list[Scale] = []

    def serve(_host: object, _manifest: object, scale: Scale, *_: object) -> Current:
        served.append(scale)
        return running

    monkeypatch.setattr(rollback, "verify_version", lambda *_: ranged)
    monkeypatch.setattr(rollback, "serve_version", serve)
    running = Current(digest="b" * 64, port=8080, address="127.0.0.1", workers=4, batch=8)
    switch_current(tmp_path, running)
    host = SimpleNamespace(settings=SimpleNamespace(home=tmp_path), progress=lambda _: None, chips=0)
    for kept in (
        Previous(digest="a" * 64, left_by="x", workers=2, batch=1),
        Previous(digest="a" * 64, left_by="x"),  # of a tool that did not note them
    ):
        note_previous(tmp_path, kept)
        assert read_previous(tmp_path) == kept
        rollback.roll_back(host, RollbackRequest(id="back"))  # type: ignore[arg-type]
    assert served == [Scale(workers=2, batch=1), Scale(workers=4, batch=8)]
