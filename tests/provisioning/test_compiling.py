from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from artifacts.compile.request import CompileRequest
from artifacts.errors import ArtifactRefused, BadRequest, CompileError, ToolchainMissing
from provisioning.compiling import compile_model, compile_request, needs_stand_in, raise_error
from provisioning.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = Settings(name="bench", region="us-west-2")
NOTHING: dict[str, Any] = {"inputs": (), "atol": None, "method": None, "out": None, "target": None}
FILED = {
    "model": {"source": "m.py:net", "inputs": ["float32[1,4]"], "atol": 0.5, "method": "trace"},
    "targets": [{"accelerator": "c7i.xlarge"}, {"accelerator": "inf2.xlarge"}],
}


def request_of(document: dict[str, Any], model: str | None = None, **wanted: Any) -> CompileRequest:
    return compile_request(document, SETTINGS, model, NOTHING | wanted)


def test_the_file_says_what_to_compile_for_its_first_target() -> None:
    made = request_of(FILED)
    assert (made.model, made.inputs, made.atol, made.method.value) == (
        "m.py:net",
        ("float32[1,4]",),
        0.5,
        "trace",
    )
    assert (made.target, made.out_dir, made.stand_in) == ("c7i.xlarge", SETTINGS.work_dir, False)


def test_each_target_has_compiler_flags_of_its_own_and_what_is_typed_beats_them() -> None:
    targets = [
        {"accelerator": "inf1.xlarge", "compiler": {"neuroncore-pipeline-cores": 4}},
        {"accelerator": "inf2.xlarge", "compiler": {"auto-cast": "all", "cpu-backend": False}},
    ]
    document = FILED | {"targets": targets}
    assert request_of(document).flags == ("neuroncore-pipeline-cores=4",)
    assert request_of(document, target="inf2.xlarge", auto_cast="matmult").flags == (
        "auto-cast=matmult",
        "cpu-backend=false",
    )
    assert request_of(document, target="c7i.xlarge").flags == ()
    with pytest.raises(BadRequest, match="auto-cast is for torch-neuronx"):
        request_of(document, target="inf1.xlarge", auto_cast="matmult")
    with pytest.raises(BadRequest, match="not a table"):
        request_of(FILED | {"targets": [{"accelerator": "inf2.xlarge", "compiler": "fast"}]})


def test_what_is_typed_beats_the_file() -> None:
    made = request_of(FILED, inputs=("int64[2]",), atol=0.1, method="script", target="m5.xlarge")
    assert (made.inputs, made.atol, made.method.value, made.target) == (
        ("int64[2]",),
        0.1,
        "script",
        "m5.xlarge",
    )


def test_another_model_does_not_get_the_files_inputs() -> None:
    assert request_of(FILED, "other.py:net").inputs == ()
    assert request_of(FILED, "m.py:net").inputs == ("float32[1,4]",)


@pytest.mark.parametrize(
    ("document", "wanted", "said"),
    [
        ({}, {"target": "c7i.xlarge"}, "No model is named"),
        ({"model": {"source": "m.py:net"}}, {}, "No target was named"),
        ({"model": {"source": "m.py:net"}, "targets": "c7i.xlarge"}, {}, "No target was named"),
        ({"model": {"source": "m.py:net"}, "targets": ["c7i.xlarge"]}, {}, "No target was named"),
        (FILED, {"target": "c7i.xlrage"}, "no target 'c7i.xlrage'"),
        (FILED, {"inputs": ("banana[",)}, "'banana\\[' is not an input SPEC"),
        (FILED, {"inputs": ("pair=bool[1]", "pair.0=bool[1]")}, "'pair' is a tensor by one SPEC, and holds"),
        (FILED, {"inputs": ("x.=bool[1]",)}, "'x.=bool\\[1\\]' is not an input SPEC"),
    ],
)
def test_a_wrong_request_is_refused_before_the_compiler_starts(
    document: dict[str, Any], wanted: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadRequest, match=said):
        request_of(document, **wanted)


@pytest.mark.parametrize(
    ("target", "emulated", "stand_in"),
    [
        ("inf2.xlarge", True, True),
        ("eia2.medium", True, True),
        ("c7i.xlarge", True, False),
        ("inf2.xlarge", False, False),
    ],
)
def test_only_an_emulated_accelerator_is_stood_in_for(target: str, *, emulated: bool, stand_in: bool) -> None:
    assert needs_stand_in(target, emulated=emulated) is stand_in


@pytest.mark.parametrize(
    ("code", "family"),
    [
        ("bad-request", BadRequest),
        ("toolchain-missing", ToolchainMissing),
        ("artifact-refused", ArtifactRefused),
        ("never-heard-of", CompileError),
    ],
)
def test_the_childs_error_keeps_its_family(code: str, family: type[CompileError]) -> None:
    with pytest.raises(family, match="no") as caught:
        raise_error({"error": {"code": code, "message": "no", "hint": "do"}})
    assert (type(caught.value), caught.value.hint) == (family, "do")
    raise_error({"ok": True})


def compiled(folder: Path, program: str, said: list[str] | None = None) -> CompileRequest:
    (folder / "net.py").write_text(program)
    made = CompileRequest(
        model=f"{folder / 'net.py'}:net",
        inputs=("float32[1,4]",),
        target="c7i.xlarge",
        out_dir=folder / "out",
    )
    compile_model(made, (said if said is not None else []).append)
    return made


def test_a_model_that_kills_its_process_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    program = "import os, signal\nprint('about to crash')\nos.kill(os.getpid(), signal.SIGSEGV)\n"
    said: list[str] = []
    with pytest.raises(CompileError) as caught:
        compiled(tmp_path, program, said)
    assert (
        caught.value.message
        == f"The compiler process ended with signal {signal.SIGSEGV.value} and no result."
    )
    assert "about to crash" in caught.value.hint
    assert "about to crash" in said


def test_the_models_code_does_not_see_where_the_signing_key_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMAZONEI_SIGN_KEY", "/keys/signing.key")
    monkeypatch.setenv("AMAZONEI_SIGN_KEY_PASSWORD", "open sesame")
    monkeypatch.setenv("AMAZONEI_KEY", "signing.pub")
    program = "import os\nraise RuntimeError(sorted(n for n in os.environ if n.startswith('AMAZONEI_')))\n"
    with pytest.raises(CompileError, match=r"\['AMAZONEI_KEY'\]"):
        compiled(tmp_path, program)


def test_a_model_that_ends_the_process_is_an_error_with_its_exit_code(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="exit code 3 and no result"):
        compiled(tmp_path, "import os\nos._exit(3)\n")


def test_a_model_that_cannot_be_imported_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="boom") as caught:
        compiled(tmp_path, "\nraise RuntimeError('boom')\n")
    assert "net.py:2" in caught.value.hint


def test_an_output_folder_that_cannot_be_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    said: list[str] = []
    with pytest.raises(BadRequest, match=r"No artifact can be written to .*out: File exists") as refused:
        compiled(tmp_path, "raise SystemExit\n", said)
    assert "--out" in refused.value.hint
    assert said == []


def test_interrupting_ends_the_compiler_and_what_it_started(tmp_path: Path) -> None:
    children = tmp_path / "pids"
    program = f"""
import os, subprocess, time
child = subprocess.Popen(["sleep", "300"])
open({str(children)!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
print("started")
time.sleep(300)
"""

    def interrupt(line: str) -> None:
        if line == "started":
            raise KeyboardInterrupt

    (tmp_path / "net.py").write_text(program)
    made = CompileRequest(
        model=f"{tmp_path / 'net.py'}:net", inputs=("float32[1]",), target="c7i.xlarge", out_dir=tmp_path
    )
    with pytest.raises(KeyboardInterrupt):
        compile_model(made, interrupt)
    for pid in map(int, children.read_text().split()):
        ended = threading.Event()
        for _ in range(200):
            if _is_gone(pid):
                ended.set()
                break
            ended.wait(0.05)
        assert ended.is_set()


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123 - a zombie is gone, too
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except (ProcessLookupError, FileNotFoundError):
        return True
