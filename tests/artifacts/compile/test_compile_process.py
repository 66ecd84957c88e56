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


def test_a_compile_request_survives_its_own_json(tmp_path: Path) -> None:
    request = _request("m.py:f", tmp_path)
    assert CompileRequest.from_json(request.to_json()) == request


def test_the_process_leaves_the_result_says_its_steps_and_keeps_stdout_free(
    tmp_path: Path, model_of: Callable[[str], str]
) -> None:
    done, document = _compile(_request(model_of("Branch"), tmp_path))
    result = CompileResult.from_document(document)
    with closing(open_verified(result.artifact, expected_digest=result.digest)) as contents:
        assert contents.manifest.name == "branch"
    assert result.as_document() == document
    said = done.stderr.splitlines()
    assert done.stdout == ""
    assert "  scripting …" in said
    assert any(line.startswith("  lane script ") and line.endswith(" ok") for line in said)


def test_the_same_request_gives_the_same_bytes(tmp_path: Path, model_of: Callable[[str], str]) -> None:
    # In processes of their own: torch numbers the classes it meets, so a second compilation in one differs.
    first, second = (
        CompileResult.from_document(_compile(_request(model_of("two_layers"), tmp_path / directory))[1])
        for directory in "ab"
    )
    assert first.artifact.name == second.artifact.name
    assert first.artifact.read_bytes() == second.artifact.read_bytes()


@pytest.mark.parametrize(
    ("model", "target", "exit_code", "code"),
    [
        ("nowhere.py:f", "c7i.xlarge", 2, "bad-request"),
        ("torch.nn:ReLU", "inf2.xlarge", 4, "toolchain-missing"),
    ],
)
def test_an_error_is_a_document_and_an_exit_code(
    model: str, target: str, exit_code: int, code: str, tmp_path: Path
) -> None:
    done, document = _compile(_request(model, tmp_path, target))
    assert done.returncode == exit_code
    assert document["ok"] is False
    assert document["error"]["code"] == code
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
    done, document = _run(tmp_path, "artifacts.compile.inspect", str(damaged))
    assert done.returncode == 4
    assert document["error"]["code"] == "artifact-refused"


@pytest.mark.parametrize(
    ("path", "said"), [(None, "The artifact, or a temporary file,"), ("out/a.aei", "out/a.aei")]
)
def test_a_full_disk_is_told_as_what_it_is(
    path: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> CompileResult:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    monkeypatch.setattr(process, "_compiled", full)
    (tmp_path / "request.json").write_bytes(_request("m.py:f", tmp_path).to_json())
    words = ["--request", str(tmp_path / "request.json"), "--result", str(tmp_path / "result.json")]
    assert process.main(words) == 2
    error = json.loads((tmp_path / "result.json").read_bytes())["error"]
    assert error["message"] == f"{said} cannot be written: No space left on device."
    assert "TMPDIR" in error["hint"]
