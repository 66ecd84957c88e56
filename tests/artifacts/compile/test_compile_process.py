from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

import artifacts.compile.__main__ as process
from artifacts.archive import open_verified
from artifacts.compile import inspect
from artifacts.compile.request import CompileRequest, CompileResult, Method

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _request(model: str, directory: Path, target: str = "c7i.xlarge") -> CompileRequest:
    inputs = ("x=float32[1,4]",)
    return CompileRequest(
        model=model, inputs=inputs, target=target, out_dir=directory, method=Method.SCRIPT, cache=False
    )


def _run(directory: Path, *module: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Run one of the two entries and return the process and its result document."""
    result = directory / "result.json"
    command = [sys.executable, "-m", *module, "--result", str(result)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done, json.loads(result.read_bytes())


def _compile(request: CompileRequest) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    request.out_dir.mkdir(exist_ok=True)
    file = request.out_dir / "request.json"
    file.write_bytes(request.to_json())
    return _run(request.out_dir, "artifacts.compile", "--request", str(file))


@pytest.fixture(scope="module")
def branch(
    model_of: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """A model that was compiled in a process of its own: how that went, and its result document."""
    return _compile(_request(model_of("Branch"), tmp_path_factory.mktemp("first")))


def test_a_compile_request_survives_its_own_json(tmp_path: Path) -> None:
    request = _request("m.py:f", tmp_path)
    assert CompileRequest.from_json(request.to_json()) == request


def test_the_process_leaves_the_result_says_its_steps_and_keeps_stdout_free(
    branch: tuple[subprocess.CompletedProcess[str], dict[str, Any]],
) -> None:
    done, document = branch
    result = CompileResult.from_document(document)
    with closing(open_verified(result.artifact, expected_digest=result.digest)) as contents:
        assert contents.manifest.name == "branch"
    assert result.as_document() == document
    said = done.stderr.splitlines()
    assert done.stdout == ""
    assert "  scripting …" in said
    assert any(line.startswith("  lane script ") and line.endswith(" ok") for line in said)


def test_the_same_request_gives_the_same_bytes(
    branch: tuple[subprocess.CompletedProcess[str], dict[str, Any]],
    tmp_path: Path,
    model_of: Callable[[str], str],
) -> None:
    # In processes of their own: torch numbers the classes it meets, so a second compilation in one differs.
    again = _compile(_request(model_of("Branch"), tmp_path))
    first, second = (CompileResult.from_document(document) for _, document in (branch, again))
    assert first.artifact.name == second.artifact.name
    assert first.artifact.read_bytes() == second.artifact.read_bytes()


def test_an_error_is_a_document_and_the_exit_code_of_the_process(tmp_path: Path) -> None:
    done, document = _compile(_request("torch.nn:ReLU", tmp_path, "inf2.xlarge"))
    assert done.returncode == 4
    assert document["ok"] is False
    assert document["error"]["code"] == "toolchain-missing"
    assert "Traceback" not in done.stderr


def test_the_documents_of_the_boundary_need_no_torch() -> None:
    program = "import sys, artifacts.compile.request; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_an_inspection_counts_what_the_program_holds(two_layers: CompileResult, tmp_path: Path) -> None:
    _, seen = _run(tmp_path, "artifacts.compile.inspect", str(two_layers.artifact))
    assert seen["operators"] == {"aten::linear": 2, "aten::relu": 1}
    assert seen["parameters"] == 4 * 8 + 8 + 8 * 3 + 3
    assert seen["parameter_bytes"] == 4 * seen["parameters"]
    assert seen["control_flow"] == 0
    assert "aten::linear" in seen["graph"]
    assert "def forward" in seen["code"]


def test_a_damaged_artifact_is_not_inspected(two_layers: CompileResult, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.aei"
    damaged.write_bytes(two_layers.artifact.read_bytes()[:-10])
    result = tmp_path / "result.json"
    assert inspect.main([str(damaged), "--result", str(result)]) == 4
    assert json.loads(result.read_bytes())["error"]["code"] == "artifact-refused"


def _error(request: CompileRequest, folder: Path) -> dict[str, str]:
    """Return the error of a request that is a bad one, compiled in this process."""
    (folder / "request.json").write_bytes(request.to_json())
    words = ["--request", str(folder / "request.json"), "--result", str(folder / "result.json")]
    assert process.main(words) == 2
    error: dict[str, str] = json.loads((folder / "result.json").read_bytes())["error"]
    return error


def test_a_model_that_is_not_there_is_a_bad_request(tmp_path: Path) -> None:
    assert _error(_request("nowhere.py:f", tmp_path), tmp_path)["code"] == "bad-request"


@pytest.mark.parametrize(
    ("path", "said"), [(None, "The artifact, or a temporary file,"), ("out/a.aei", "out/a.aei")]
)
def test_a_full_disk_is_told_as_what_it_is(
    path: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> CompileResult:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    monkeypatch.setattr(process, "_compiled", full)
    error = _error(_request("m.py:f", tmp_path), tmp_path)
    assert error["message"] == f"{said} cannot be written: No space left on device."
    assert "TMPDIR" in error["hint"]
