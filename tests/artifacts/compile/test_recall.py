from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from artifacts.compile.request import CompileRequest, Method

ROOT = Path(__file__).resolve().parents[3]
RACED, SAME_RACE, SAME = "tracing …", "raced before", "unchanged since"
MODEL = """\
from pathlib import Path
import torch
{more}

class Scale(torch.nn.Module):
    def forward(self, x):
        return x * {factor}

def scale():
    return Scale()
"""
FROM_FILE = '(float(Path("factor.txt").read_text()) if Path("factor.txt").exists() else 2.0)'


@dataclass(frozen=True)
class Project:
    """A user's directory, compiled in as the command line does, with a cache of its own."""

    directory: Path

    def write(self, factor: str = "2.0", more: str = "") -> None:
        (self.directory / "model.py").write_text(MODEL.format(factor=factor, more=more), encoding="utf-8")

    def start(self, out: str = "out", **change: Any) -> subprocess.Popen[str]:
        request = CompileRequest(
            **{
                "model": "model.py:scale",
                "inputs": ("x=float32[1,4]",),
                "target": "c7i.xlarge",
                "out_dir": self.directory / "build" / out,
                "method": Method.TRACE,
                **change,
            }
        )
        request.out_dir.mkdir(parents=True, exist_ok=True)
        file, result = request.out_dir / "request.json", request.out_dir / "result.json"
        file.write_bytes(request.to_json())
        cache = {"XDG_CACHE_HOME": str(self.directory / "build" / "cache"), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "artifacts.compile", "--request", str(file), "--result", str(result)]
        return subprocess.Popen(
            command, cwd=self.directory, env=os.environ | cache, stderr=subprocess.PIPE, text=True
        )

    def compile(self, out: str = "out", **change: Any) -> tuple[str, dict[str, Any]]:
        with self.start(out, **change) as process:
            said = process.stderr.read() if process.stderr else ""
        return said, json.loads((self.directory / "build" / out / "result.json").read_bytes())


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write()
    return made


def test_an_unchanged_compile_is_taken_from_the_cache_into_any_folder(project: Project) -> None:
    _, first = project.compile("first")
    said, second = project.compile("second")
    assert SAME in said
    assert RACED not in said
    assert Path(second["artifact"]).parent.name == "second"
    assert Path(second["artifact"]).read_bytes() == Path(first["artifact"]).read_bytes()
    assert {**second, "artifact": ""} == {**first, "artifact": ""}
    evidence = json.loads(Path(f"{second['artifact']}.json").read_bytes())
    assert evidence["artifact"] == second["artifact"]


@pytest.mark.nightly
def test_a_changed_source_is_compiled_again(project: Project) -> None:
    _, first = project.compile()
    project.write(factor="3.0")
    said, second = project.compile()
    assert RACED in said
    assert second["digest"] != first["digest"]


@pytest.mark.nightly
def test_a_file_the_model_reads_is_part_of_what_it_is(project: Project) -> None:
    project.write(factor=FROM_FILE)
    factor = project.directory / "factor.txt"
    digests = []
    for text in (None, "3.0", "5.0"):  # absent, then there, then changed
        if text is not None:
            factor.write_text(text, encoding="ascii")
        said, result = project.compile()
        assert RACED in said
        digests.append(result["digest"])
    assert len(set(digests)) == 3
    assert SAME in project.compile()[0]


@pytest.mark.nightly
def test_a_helper_that_only_byte_code_was_read_of_is_still_watched(project: Project) -> None:
    helper = project.directory / "helper.py"
    helper.write_text("FACTOR = 2.0\n", encoding="ascii")
    project.write(factor="helper.FACTOR", more="import helper")
    project.compile(cache=False)  # leaves the helper's byte code
    _, first = project.compile()
    helper.write_text("FACTOR = 4.5\n", encoding="ascii")
    said, second = project.compile()
    assert RACED in said
    assert second["digest"] != first["digest"]


@pytest.mark.nightly
def test_a_model_that_asks_another_program_is_loaded_every_time(project: Project) -> None:
    project.write(more='import subprocess\nsubprocess.run(["true"], check=True)')
    project.compile()
    said, _ = project.compile()
    assert SAME not in said
    assert SAME_RACE in said  # its programs and answers came out the same


@pytest.mark.nightly
def test_two_targets_share_the_race(project: Project) -> None:
    project.compile()
    said, result = project.compile(target="c7i.4xlarge")
    assert SAME_RACE in said
    assert result["target"] == "c7i.4xlarge"


@pytest.mark.nightly
def test_without_the_cache_it_is_all_done_again(project: Project) -> None:
    project.compile()
    said, _ = project.compile(cache=False)
    assert RACED in said
    assert SAME_RACE not in said


@pytest.mark.nightly
def test_two_that_start_together_do_the_work_once(project: Project) -> None:
    processes = [project.start("one"), project.start("two")]
    said = [process.communicate()[1] for process in processes]
    assert sorted(RACED in text for text in said) == [False, True]
    assert sorted(SAME in text for text in said) == [False, True]


@pytest.mark.nightly
def test_a_corrupt_entry_is_made_again(project: Project) -> None:
    _, first = project.compile()
    for program in (project.directory / "build" / "cache").rglob("entries/*/*"):
        program.write_bytes(b"")
    said, second = project.compile()
    assert RACED in said
    assert second["digest"] == first["digest"]
