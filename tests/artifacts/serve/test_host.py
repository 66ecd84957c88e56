from __future__ import annotations

import http.client
import json
import os
import signal
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors import torch as safetensors

from artifacts import archive
from artifacts.measure.measurement import Measurement
from artifacts.measure.protocol import Protocol
from artifacts.measure.results import unpack_samples
from artifacts.serve.golden import Golden, golden_tensors, read_golden
from artifacts.serve.requests import BenchmarkRequest, InvokeRequest, StatusRequest, StopRequest
from artifacts.serve.sampling import sample
from artifacts.serve.scale import Scale
from artifacts.specs import parse_specs

if TYPE_CHECKING:
    from collections.abc import Callable

    from artifacts.compile.request import CompileResult
    from tests.artifacts.serve.conftest import Machine, Response

    NewMachine = Callable[..., Machine]


@pytest.fixture(scope="module")
def serving(new_machine: NewMachine, two_layers: CompileResult) -> tuple[Machine, Response]:
    """A host that serves the small model, and the response of its installation."""
    machine = new_machine()
    return machine, machine.install(two_layers.artifact, two_layers.digest)


def test_an_installation_reports_what_is_served_and_where(
    serving: tuple[Machine, Response], two_layers: CompileResult
) -> None:
    _, response = serving
    assert response.code == 0, response.steps
    expected = {
        "ok": True,
        "operation": "install",
        "instance_id": "i-0",
        "accelerator": "c7i.xlarge",
        "emulated": True,
        "digest": two_layers.digest,
        "name": "two-layers",
        "lane": two_layers.lane,
        "stand_in": False,
        "port": 8080,
        "workers": 1,
        "batch": 1,
        "changed": True,
    }
    assert {name: response.document[name] for name in expected} == expected
    assert response.summary["digest"] == two_layers.digest
    assert "golden request answered" in response.steps


def test_installing_the_running_version_again_changes_nothing(
    serving: tuple[Machine, Response], two_layers: CompileResult
) -> None:
    machine, _ = serving
    before = machine.send(StatusRequest(id="before")).document["serving"]["pid"]
    response = machine.install(two_layers.artifact, two_layers.digest)
    after = machine.send(StatusRequest(id="after")).document["serving"]["pid"]
    assert response.document["changed"] is False
    assert before == after


@pytest.mark.nightly
def test_the_same_version_with_other_workers_is_served_anew(
    new_machine: NewMachine, two_layers: CompileResult
) -> None:
    machine = new_machine()
    machine.install(two_layers.artifact, two_layers.digest)
    response = machine.install(two_layers.artifact, two_layers.digest, scale=Scale(workers=2), id="more")
    assert response.document["changed"] is True, response.steps
    status = machine.send(StatusRequest(id="more-status")).document["serving"]
    assert (status["workers"], status["batch"], status["healthy"]) == (2, 1, True)


def test_the_status_says_that_the_server_is_healthy(
    serving: tuple[Machine, Response], two_layers: CompileResult
) -> None:
    status = serving[0].send(StatusRequest(id="status")).document["serving"]
    assert status["digest"] == two_layers.digest
    assert status["healthy"] is True
    assert status["uptime_s"] >= 0
    assert status["traffic"]["requests"] >= 1  # the golden one
    assert (status["traffic"]["errors"], status["traffic"]["waiting"]) == (0, 0)


def test_an_invocation_answers_like_the_model(
    serving: tuple[Machine, Response], model_of: Callable[[str], str]
) -> None:
    from artifacts.compile.loading import load_model

    x = [[0.25, -1.0, 3.0, 0.0]]
    response = serving[0].send(InvokeRequest(id="invoke", body={"inputs": {"x": x}}))
    expected = load_model(model_of("two_layers")).module(torch.tensor(x))
    torch.testing.assert_close(torch.tensor(response.document["response"]["outputs"]["output"]), expected)
    assert response.document["latency_ms"] > 0


def test_a_random_invocation_sends_the_sample_of_its_seed(
    serving: tuple[Machine, Response], model_of: Callable[[str], str]
) -> None:
    from artifacts.compile.loading import load_model

    response = serving[0].send(InvokeRequest(id="random", body={"random": 5}))
    drawn = sample(parse_specs(("x=float32[1,4]",)), seed=5)["x"]
    expected = load_model(model_of("two_layers")).module(drawn)
    torch.testing.assert_close(torch.tensor(response.document["response"]["outputs"]["output"]), expected)


@pytest.mark.parametrize(
    ("name", "body", "part"),
    [
        ("shape", {"inputs": {"x": [[1, 2, 3]]}}, "Input x is float32[1,3]; expected x=float32[1,4]"),
        ("name", {"inputs": {"y": [[1, 2, 3, 4]]}}, "has inputs y; expected x=float32[1,4]"),
        ("ragged", {"inputs": {"x": [[1], [1, 2]]}}, "Input x is not a regular array"),
        ("form", {"input": []}, '{"inputs": {name: nested lists}} or {"random": seed}'),
    ],
)
def test_a_wrong_request_is_told_what_was_expected(
    name: str, body: dict[str, object], part: str, serving: tuple[Machine, Response]
) -> None:
    response = serving[0].send(InvokeRequest(id=f"wrong-{name}", body=body))
    assert response.code == 2
    assert response.document["error"]["code"] == "bad-request"
    assert part in response.document["error"]["message"]


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"{not json", b"not JSON"),
        (b"[]", b"expected inputs: x=float32[1,4]"),
        (safetensors.save({"x": torch.ones(1, 4, dtype=torch.float64)}), b"Input x is float64[1,4]"),
        (safetensors.save({"x": torch.ones(1, 4)})[:-3], b"not safetensors"),
    ],
)
def test_the_server_itself_answers_wrong_bodies_with_4xx(
    body: bytes, part: bytes, serving: tuple[Machine, Response]
) -> None:
    status, answer = _post(serving[0].address, 8080, body)
    assert status == 422
    assert part in answer


def test_raw_tensors_are_answered_with_raw_tensors(serving: tuple[Machine, Response]) -> None:
    machine, _ = serving
    x = torch.ones(1, 4)
    status, raw = _post(machine.address, 8080, safetensors.save({"x": x}))
    _, text = _post(machine.address, 8080, json.dumps({"inputs": {"x": x.tolist()}}).encode())
    assert status == 200
    torch.testing.assert_close(
        safetensors.load(raw)["output"], torch.tensor(json.loads(text)["outputs"]["output"])
    )


def test_a_benchmark_measures_the_server_and_keeps_every_sample(
    serving: tuple[Machine, Response], two_layers: CompileResult
) -> None:
    machine, _ = serving
    protocol = Protocol(rate=50.0, duration_s=0.5, max_concurrency=2)
    response = machine.send(BenchmarkRequest(id="benchmark", protocol=protocol.to_json()))
    assert response.code == 0, response.steps
    assert response.document["served"]["digest"] == two_layers.digest
    assert response.document["emulated"] is True
    measurement = Measurement.from_json(response.document["measurement"])
    samples = unpack_samples((machine.root / "bucket" / response.document["samples_key"]).read_bytes())
    assert [len(load.samples) for load in samples] == [point.n for point in measurement.all_points]


def test_the_server_has_neither_credentials_nor_other_addresses(serving: tuple[Machine, Response]) -> None:
    machine, _ = serving
    for pid in machine.processes():
        assert b"not-for-servers" not in Path(f"/proc/{pid}/environ").read_bytes()
    with pytest.raises(ConnectionRefusedError):
        _post("127.0.0.1", 8080, b"{}")


def test_a_version_with_a_wrong_answer_leaves_the_old_one_serving(
    serving: tuple[Machine, Response], two_layers: CompileResult, tmp_path: Path
) -> None:
    machine, _ = serving
    broken, digest = _with_wrong_golden(two_layers.artifact, tmp_path)
    response = machine.install(broken, digest)
    assert response.code == 5
    assert response.document["error"]["code"] == "serve-failed"
    assert "answers the golden request wrongly: off by 1" in response.document["error"]["message"]
    status = machine.send(StatusRequest(id="after-broken")).document["serving"]
    assert (status["digest"], status["healthy"]) == (two_layers.digest, True)
    with pytest.raises(ConnectionRefusedError):
        _post(machine.address, 8081, b"{}")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"artifact_sha256": "0" * 64}, 5),
        ({"artifact_bytes": 1}, 4),
        ({"manifest_digest": "0" * 64}, 4),
        ({"accelerator": "inf2.xlarge"}, 4),
        ({"artifact_key": "artifacts/models/missing.recipe"}, 5),
    ],
)
def test_what_is_not_the_promised_artifact_is_never_started(
    change: dict[str, Any], code: int, new_machine: NewMachine, two_layers: CompileResult
) -> None:
    machine = new_machine()
    response = machine.install(two_layers.artifact, two_layers.digest, **change)
    assert response.code == code
    assert response.document["ok"] is False
    assert machine.processes() == []
    assert not (machine.home / "current.json").exists()


def test_a_stand_in_is_refused_where_nothing_is_emulated(
    new_machine: NewMachine, model_of: Callable[[str], str], tmp_path: Path
) -> None:
    from artifacts.compile.pipeline import compile_model
    from artifacts.compile.request import CompileRequest, Method

    result = compile_model(
        CompileRequest(
            model=model_of("two_layers"),
            inputs=("x=float32[1,4]",),
            target="inf2.xlarge",
            out_dir=tmp_path,
            method=Method.TRACE,
            stand_in=True,
        ),
        progress=lambda _: None,
    )
    real = new_machine(accelerator="inf2.xlarge", environment={})
    response = real.install(result.artifact, result.digest)
    assert response.code == 4
    assert "CPU stand-in for inf2.xlarge" in response.document["error"]["message"]


def test_a_request_that_was_altered_on_the_way_is_refused(new_machine: NewMachine) -> None:
    machine = new_machine()
    machine.store(f"artifacts/requests/{'a' * 64}.json", StopRequest(id="altered").canonical())
    response = machine.send(StatusRequest(id="altered"), SSM_Request="a" * 64)
    assert response.code == 5
    assert "has SHA-256" in response.summary["error"]["message"]


def test_a_command_that_contradicts_its_request_is_refused(new_machine: NewMachine) -> None:
    response = new_machine().send(StatusRequest(id="contradiction"), SSM_Operation="stop")
    assert response.code == 2


def test_nothing_is_served_before_the_first_installation(new_machine: NewMachine) -> None:
    machine = new_machine()
    assert machine.send(StatusRequest(id="empty")).document["serving"] is None
    response = machine.send(InvokeRequest(id="early", body={"random": 1}))
    assert response.code == 2
    assert "Nothing is served" in response.document["error"]["message"]


def test_a_server_that_died_is_replaced_by_the_next_installation_and_stopping_leaves_no_process(
    new_machine: NewMachine, two_layers: CompileResult
) -> None:
    machine = new_machine()
    machine.install(two_layers.artifact, two_layers.digest)
    status = machine.send(StatusRequest(id="alive")).document["serving"]
    os.killpg(status["pid"], signal.SIGKILL)
    assert machine.send(StatusRequest(id="dead")).document["serving"]["healthy"] is False
    response = machine.install(two_layers.artifact, two_layers.digest, id="again")
    assert response.document["changed"] is True
    assert machine.send(StatusRequest(id="back")).document["serving"]["healthy"] is True
    assert machine.processes()
    assert machine.send(StopRequest(id="stop")).document["stopped"] is True
    assert machine.processes() == []


def _post(address: str, port: int, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, port, timeout=10)
    with closing(connection):
        connection.request("POST", "/inference", body)
        answer = connection.getresponse()
        return answer.status, answer.read()


def _with_wrong_golden(artifact: Path, directory: Path) -> tuple[Path, str]:
    """Repack an artifact with a golden answer that its program does not give."""
    import dataclasses

    from safetensors.torch import save_file

    unpacked = directory / "unpacked"
    unpacked.mkdir()
    with closing(archive.open_verified(artifact)) as contents:
        contents.unpack(unpacked)
        golden = read_golden(unpacked)
        wrong = {name: tensor + 1 for name, tensor in golden.outputs.items()}
        save_file(golden_tensors([Golden(golden.inputs, wrong)]), unpacked / "golden.safetensors")
        names = [file.path for file in contents.manifest.files]
        files = tuple(archive.digest_file(unpacked / name, name) for name in names)
        manifest = dataclasses.replace(contents.manifest, files=files)
    return archive.pack(manifest, {name: unpacked / name for name in names}, directory), manifest.digest
