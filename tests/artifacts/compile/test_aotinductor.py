from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from artifacts.archive import open_verified
from artifacts.compile.aotinductor import compile_package, options, required_features
from artifacts.compile.inspection import inspect_artifact
from artifacts.compile.layout import reshaped
from artifacts.compile.packing import Label, pack_program
from artifacts.compile.subject import prepare_subject
from artifacts.errors import ArtifactRefused, CompileError
from artifacts.serve import handler
from artifacts.serve.aotinductor import LAYOUT, WEIGHTS, load_package
from artifacts.serve.golden import read_golden
from artifacts.serve.processor import processor_features, refuse_unfit
from artifacts.serve.program import flatten, open_program
from artifacts.serve.weights import Weight, map_file, read_layout, weights_in, write_layout
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
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(576, 3)
    )
    return prepare_subject(model, (TensorSpec(name="x", dtype="float32", shape=(1, 3, 8, 8)),))


@pytest.fixture(scope="module")
def package(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("package") / "program.pt"
    requires = compile_package(reshaped(subject), (torch.ones(1, 3, 8, 8),), path)
    assert set(requires) <= processor_features()
    assert [each.name for each in path.parent.iterdir()] == [path.name]  # Inductor's own files are gone
    return path


@needs_compiler
def test_a_package_answers_like_the_model_and_carries_no_path_of_this_machine(
    package: Path, subject: Subject
) -> None:
    x = torch.randn(1, 3, 8, 8)
    expected = subject.run({"x": x})
    direct = open_program(package, "aotinductor", "none")
    torch.testing.assert_close(flatten(direct(x)), expected)
    torch.testing.assert_close(flatten(direct(x)), expected)
    names = set(_reader(package).get_all_records())
    assert any(name.endswith(".so") for name in names)
    assert not any(name.endswith(".cpp") for name in names)
    for place in (package.parent, Path(torch.__file__).parent):
        assert str(place).encode() not in package.read_bytes()


@needs_compiler
def test_the_weights_are_mapped_from_the_file_and_never_written_to_it(package: Path) -> None:
    layout = read_layout(_reader(package).get_record(LAYOUT))
    # oneDNN's own layout, which only torch's C interface can make.
    assert any(each.layout == "_mkldnn" for each in layout)
    before, file = package.read_bytes(), map_file(package)
    weights = weights_in(file, _reader(package).get_record_offset(WEIGHTS), layout)  # type: ignore[attr-defined]
    plain = weights[next(each.name for each in layout if each.layout == "strided")]
    assert file.data_ptr() <= plain.data_ptr() < file.data_ptr() + file.numel()
    plain.fill_(7)
    assert package.read_bytes() == before


@needs_compiler
@pytest.mark.nightly
def test_torchs_public_loader_opens_the_package_too(package: Path, subject: Subject, tmp_path: Path) -> None:
    public = tmp_path / "program.pt2"
    shutil.copy(package, public)
    x = torch.randn(1, 3, 8, 8)
    program = load_package(public, version="2.99.0")
    torch.testing.assert_close(flatten(program(x)), subject.run({"x": x}))


@needs_compiler
@pytest.mark.nightly
def test_two_compiles_in_different_directories_give_the_same_bytes(
    package: Path, subject: Subject, tmp_path: Path
) -> None:
    another = tmp_path / "deeper" / "program.pt"
    another.parent.mkdir()
    compile_package(reshaped(subject), (torch.ones(1, 3, 8, 8),), another)
    assert another.read_bytes() == package.read_bytes()


@needs_compiler
@pytest.mark.nightly
def test_the_same_graph_for_another_shape_is_compiled_anew(subject: Subject, tmp_path: Path) -> None:
    """Inductor names its sources after the graph's Python, in which no shape is written."""
    linear = torch.nn.Linear(4, 3).eval()
    for rows in (1, 5):
        compile_package(linear, (torch.ones(rows, 4),), tmp_path / f"{rows}.pt")
        x = torch.randn(rows, 4)
        (answer,) = load_package(tmp_path / f"{rows}.pt")(x)
        torch.testing.assert_close(answer, linear(x))


@pytest.mark.parametrize("text", [b"not json", b"[3]", b'[{"name": "w"}]'])
def test_a_layout_that_cannot_be_read_is_refused(text: bytes) -> None:
    with pytest.raises(ArtifactRefused, match="layout of the weights cannot be read"):
        read_layout(text)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"size": 64}, "beyond the end"),
        ({"start": -4}, "beyond the end"),
        ({"dtype": "float3"}, "no dtype 'float3'"),
        ({"layout": "magic"}, "no layout 'magic'"),
    ],
)
def test_a_weight_that_is_not_in_the_file_or_not_known_to_torch_is_refused(
    change: dict[str, Any], told: str, tmp_path: Path
) -> None:
    (tmp_path / "weights").write_bytes(bytes(4 * 12))
    weight = Weight(
        name="w", dtype="float32", layout="strided", start=0, size=32, offset=0, shape=(2, 4), stride=(4, 1)
    )
    assert read_layout(write_layout([weight])) == (weight,)
    file = map_file(tmp_path / "weights")
    assert weights_in(file, 16, [weight])["w"].shape == (2, 4)
    with pytest.raises(ArtifactRefused, match=told):
        weights_in(file, 16, [replace(weight, **change)])


def _reader(path: Path) -> torch._C.PyTorchFileReader:
    return torch._C.PyTorchFileReader(str(path))


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
    inspected = inspect_artifact(artifact).as_document()
    assert (inspected["program"], inspected["dtypes"]) == ("aotinductor", ["float32"])
    # Weights packed for oneDNN have the shape they had; Inductor may write a short bias into the code.
    assert 16 * 3 * 3 * 3 + 576 * 3 <= inspected["parameters"] <= 16 * 3 * 3 * 3 + 16 + 576 * 3 + 3
    assert (inspected["operators"], inspected["graph"]) == ({}, "")
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
        compile_package(reshaped(subject), (torch.ones(1, 3, 8, 8),), tmp_path / "p.pt")


@pytest.mark.parametrize(("program", "preparation"), [("onnx", "none"), ("torchscript", "magic")])
def test_a_program_or_preparation_that_is_not_known_is_refused(
    program: str, preparation: str, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactRefused, match="This host cannot"):
        open_program(tmp_path / "never-opened", program, preparation)
