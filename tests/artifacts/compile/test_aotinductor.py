from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from artifacts.archive import open_verified
from artifacts.compile.aotinductor import compile_package, options, required_features
from artifacts.compile.layout import reshaped
from artifacts.compile.packing import Label, pack_program
from artifacts.compile.subject import prepare_subject
from artifacts.errors import ArtifactRefused, CompileError
from artifacts.serve import handler
from artifacts.serve.aotinductor import load_package
from artifacts.serve.golden import read_golden
from artifacts.serve.processor import processor_features, refuse_unfit
from artifacts.serve.program import flatten, open_program
from artifacts.specs import TensorSpec

if TYPE_CHECKING:
    from artifacts.compile.subject import Subject

LEVEL_3 = frozenset({"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "sse4_2"})
LEVEL_4 = LEVEL_3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="AOTInductor needs g++")


@pytest.fixture(scope="module")
def subject() -> Subject:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return prepare_subject(torch.nn.Linear(4, 3), (TensorSpec(name="x", dtype="float32", shape=(1, 4)),))


@pytest.fixture(scope="module")
def package(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("package") / "program.pt"
    requires = compile_package(reshaped(subject), (torch.ones(1, 4),), path)
    assert set(requires) <= processor_features()
    return path


@needs_compiler
def test_a_package_answers_like_the_model_through_either_loader(package: Path, subject: Subject) -> None:
    x = torch.randn(1, 4)
    expected = subject.run({"x": x})
    direct = open_program(package, "aotinductor", "none")
    torch.testing.assert_close(flatten(direct(x)), expected)
    names = set(torch._C.PyTorchFileReader(str(package)).get_all_records())
    assert any(name.endswith(".so") for name in names)
    assert not any(name.endswith(".cpp") for name in names)  # they carry this machine's paths


@needs_compiler
def test_an_artifact_of_machine_code_is_served_where_it_fits(
    package: Path, subject: Subject, tmp_path: Path
) -> None:
    label = Label(
        name="linear",
        target="c7i.xlarge",
        lane="aotinductor",
        stand_in=False,
        preparation="none",
        program="aotinductor",
        atol=1e-3,
        compiler="torchscript",
        compiler_version="1",
        requires=required_features(processor_features()),
    )
    artifact, manifest = pack_program(subject, {"program.pt": package}, label, tmp_path)
    assert manifest.requires
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    with closing(open_verified(artifact)) as contents:
        contents.unpack(unpacked)
    golden = read_golden(unpacked)
    (answer,) = handler.load(unpacked, threads=1).predict_batch([golden.inputs])
    torch.testing.assert_close(answer, golden.outputs)
    with pytest.raises(ArtifactRefused, match="which this host lacks"):
        refuse_unfit(manifest, frozenset(), manifest.toolchain.torch)


def test_only_a_release_that_was_tried_takes_the_private_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    monkeypatch.setattr("torch._inductor.aoti_load_package", called.append)
    load_package(Path("program.pt"), version="2.99.0")
    assert called == ["program.pt"]


def test_the_processor_is_asked_for_a_level_and_what_inductor_adds() -> None:
    assert "avx512f" not in required_features(LEVEL_3)
    on_amx = required_features(LEVEL_4 | {"amx_tile", "amx_bf16", "avx512_bf16", "clzero"})
    assert {"avx512f", "amx_tile", "avx512_bf16"} <= set(on_amx)
    assert "clzero" not in on_amx
    assert "sse4_2" not in on_amx
    assert options(on_amx)["cpp.march"] == "x86-64-v4"
    assert options(required_features(LEVEL_3))["cpp.march"] == "x86-64-v3"
    assert "cpp.march" not in options(required_features(frozenset({"asimd", "sve"})))


def test_without_a_compiler_the_lane_says_so(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CompileError, match=r"needs g\+\+"):
        compile_package(reshaped(subject), (torch.ones(1, 4),), tmp_path / "p.pt")


@pytest.mark.parametrize(("program", "preparation"), [("onnx", "none"), ("torchscript", "magic")])
def test_a_program_or_preparation_that_is_not_known_is_refused(
    program: str, preparation: str, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactRefused, match="This host cannot"):
        open_program(tmp_path / "never-opened", program, preparation)
