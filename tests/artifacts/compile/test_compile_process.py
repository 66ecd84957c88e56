from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from artifacts.archive import open_verified
from artifacts.compile.process import compile_in_process, inspect_in_process
from artifacts.compile.request import CompileRequest, CompileResult, Method
from artifacts.errors import ArtifactRefused, BadRequest, ToolchainMissing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _request(model: str, directory: Path, target: str = "c7i.xlarge") -> CompileRequest:
    inputs = ("x=float32[1,4]",)
    return CompileRequest(model=model, inputs=inputs, target=target, out_dir=directory, method=Method.SCRIPT)


def test_a_compile_request_survives_its_own_json(tmp_path: Path) -> None:
    request = _request("m.py:f", tmp_path)
    assert CompileRequest.from_json(request.to_json()) == request


def test_the_process_returns_the_result_and_says_its_steps(
    tmp_path: Path, model_of: Callable[[str], str]
) -> None:
    said: list[str] = []
    result = compile_in_process(_request(model_of("Branch"), tmp_path), said.append)
    with closing(open_verified(result.artifact, expected_digest=result.digest)) as contents:
        assert contents.manifest.name == "branch"
    assert CompileResult.from_document(result.as_document()) == result
    assert "  scripting …" in said
    assert any(line.startswith("  lane script ") and line.endswith(" ok") for line in said)


def test_the_same_request_gives_the_same_bytes(tmp_path: Path, model_of: Callable[[str], str]) -> None:
    # In processes of their own: torch numbers the classes it meets, so a second compilation in one differs.
    first, second = (
        compile_in_process(_request(model_of("two_layers"), tmp_path / directory), lambda _: None)
        for directory in "ab"
    )
    assert first.artifact.name == second.artifact.name
    assert first.artifact.read_bytes() == second.artifact.read_bytes()


def test_an_error_crosses_the_boundary_as_itself(tmp_path: Path, model_of: Callable[[str], str]) -> None:
    with pytest.raises(BadRequest, match="no file nowhere"):
        compile_in_process(_request("nowhere.py:f", tmp_path), lambda _: None)
    with pytest.raises(ToolchainMissing, match="torch_neuronx is not installed"):
        compile_in_process(_request(model_of("Branch"), tmp_path, target="inf2.xlarge"), lambda _: None)


def test_the_tools_side_of_the_boundary_never_imports_torch() -> None:
    program = "import sys, artifacts.compile.process; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_an_inspection_counts_what_the_program_holds(two_layers: CompileResult) -> None:
    seen = inspect_in_process(two_layers.artifact)
    assert seen["operators"] == {"aten::linear": 2, "aten::relu": 1}
    assert seen["parameters"] == 4 * 8 + 8 + 8 * 3 + 3
    assert seen["parameter_bytes"] == 4 * seen["parameters"]
    assert seen["control_flow"] == 0
    assert "aten::linear" in seen["graph"]
    assert "def forward" in seen["code"]


def test_a_damaged_artifact_is_not_inspected(two_layers: CompileResult, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.aei"
    damaged.write_bytes(two_layers.artifact.read_bytes()[:-10])
    with pytest.raises(ArtifactRefused):
        inspect_in_process(damaged)
