from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provisioning.cli.boundary import run
from provisioning.cli.program import program

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

FOUND: dict[str, Any] = {
    "digest": "0" * 64,
    "name": "net",
    "target": "c7i.xlarge",
    "lane": "trace+freeze",
    "stand_in": False,
    "program": "torchscript",
    "programs": 2,
    "preparation": "none",
    "requires": [],
    "inputs": [
        {"name": "x", "dtype": "float32", "shape": [1, 64], "low": 0.0, "high": 1.0},
    ],
    "outputs": [{"name": "y", "dtype": "int64", "shape": [1], "low": None, "high": None}],
    "toolchain": {
        "torch": "2.13.0",
        "python": "3.11",
        "compiler": "torchscript",
        "compiler_version": "2.13.0",
    },
    "operators": {"aten::linear": 2, "aten::relu": 1},
    "control_flow": 1,
    "control_flow_erased": ["The trace erased control flow at m.py:3."],
    "constants_folded": 4,
    "fused": {"prim::TensorExprGroup": 3},
    "devices": [],
    "parameters": 4160,
    "parameter_bytes": 16640,
    "dtypes": ["float32"],
    "graph": "graph(%x)",
    "code": "def forward(self)",
}
MACHINE_CODE = FOUND | {
    "program": "aotinductor",
    "graph": "",
    "code": "",
    "operators": {},
    "requires": ["avx2"],
}
DIFFERENCE: dict[str, Any] = {
    "changed": {"lane": ["trace", "script"], "inputs": [FOUND["inputs"], []], "fused": [{}, {"a::b": 2}]},
    "operators": {"prim::If": [0, 1]},
    "same_code": False,
}


def shown(
    found: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *words: str,
) -> tuple[int, str, str]:
    """The exit code and both streams of `inspect`, where the inspection's process found this."""
    for name in ("one.aei", "two.aei"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("provisioning.compiling.inspect_artifact", lambda *_: found)
    code = run(program, ["inspect", "one.aei", *words], prog_name="amazonei")
    return code, *capsys.readouterr()


def test_an_artifact_is_shown_as_a_person_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = shown(FOUND, tmp_path, monkeypatch, capsys)
    assert code == 0
    assert "Input: x=float32[1,64]\nOutput: y=int64[1]\nProgram: torchscript in 2 sizes" in out
    assert "Parameters: 4,160, 0.02 MB (float32)\nControl flow: 1 branches and loops kept\n" in out
    assert "  The trace erased control flow at m.py:3.\nConstants folded: 4\n" in out
    assert "Fused: prim::TensorExprGroup (3)" in out
    assert "aten::linear   2" in out
    assert "graph(%x)" not in out
    assert "{" not in out


def test_graph_and_code_are_printed_where_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = shown(FOUND, tmp_path, monkeypatch, capsys, "--graph", "--code")
    assert out.endswith("graph(%x)\ndef forward(self)\n")
    assert "aten::linear" not in out


def test_machine_code_is_shown_and_has_no_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = shown(MACHINE_CODE, tmp_path, monkeypatch, capsys)
    assert code == 0
    assert "Needs of the processor: avx2" in out
    code, out, err = shown(MACHINE_CODE, tmp_path, monkeypatch, capsys, "--code")
    assert (code, out) == (2, "")
    assert "one.aei holds machine code (aotinductor), which has neither graph nor code." in err


def test_what_differs_is_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = shown(DIFFERENCE, tmp_path, monkeypatch, capsys, "two.aei")
    rows = [line.split() for line in out.splitlines()]
    assert ["lane", "trace", "script"] in rows
    assert ["inputs", "x=float32[1,64]", "none"] in rows
    assert ["fused", "none", "a::b", "2"] in rows
    assert ["prim::If", "0", "1"] in rows
    assert out.endswith("The code differs.\n")
    nothing = {"changed": {}, "operators": {}, "same_code": True}
    assert shown(nothing, tmp_path, monkeypatch, capsys, "two.aei")[1].startswith("Nothing differs.")
    code, _, err = shown(DIFFERENCE, tmp_path, monkeypatch, capsys, "two.aei", "--graph")
    assert code == 2
    assert "--graph and --code are of one artifact" in err
