from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import torch

from artifacts.compile.aotinductor import compile_package
from artifacts.compile.graph import constant_tensors
from artifacts.compile.merging import merged
from artifacts.compile.recording import record
from artifacts.compile.torchscript import freeze, save
from artifacts.errors import ArtifactRefused
from artifacts.serve.opening import in_one_file, open_programs
from artifacts.serve.program import flatten, open_parts
from artifacts.specs import parse_specs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = {"4": 4, "2": 2}
SPECS = parse_specs(("float32[2|4,64]",))


class Net(torch.nn.Module):
    """Its weights are most of it, one of them is a buffer, and a number depends on the size."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(64, 256)
        self.register_buffer("table", torch.randn(256, 64))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.linear(x) @ self.table * x.shape[0],)


@pytest.fixture(scope="module")
def net() -> Net:
    return Net().eval()


@pytest.fixture(params=["as traced", "frozen"])
def programs(request: pytest.FixtureRequest, net: Net, tmp_path: Path) -> dict[str, Path]:
    torch.set_num_threads(1)
    made = {}
    for key, rows in ROWS.items():
        traced = record(net, (torch.zeros(rows, 64),))
        made[key] = tmp_path / f"{key}.pt"
        save(freeze(traced) if request.param == "frozen" else traced, made[key])
    return made


def _answers_as(net: Net, parts: dict[str, Callable[..., object]]) -> None:
    for key, rows in ROWS.items():
        x = torch.randn(rows, 64)
        with torch.inference_mode():
            (found,) = flatten(parts[key](x))
        torch.testing.assert_close(found, net(x)[0], atol=1e-3, rtol=1e-4)


def _places(program: object) -> set[int]:
    assert isinstance(program, torch.jit.ScriptModule)
    held = [*program.parameters(), *program.buffers(), *constant_tensors(program.inlined_graph)]
    return {tensor.data_ptr() for tensor in held if tensor.numel() > 1000}


def test_equal_weights_are_once_in_the_file_and_once_in_memory(
    programs: dict[str, Path], net: Net, tmp_path: Path
) -> None:
    together = merged(programs, "torchscript", tmp_path / "together.pt").answer
    assert together is not None
    assert together.stat().st_size < 1.2 * programs["4"].stat().st_size
    parts = open_programs({"program.pt": together}, SPECS, "torchscript", "none")
    _answers_as(net, parts)
    assert _places(parts["4"]) == _places(parts["2"])
    assert len(_places(parts["4"])) == 2


def test_the_same_programs_give_the_same_file(programs: dict[str, Path], tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        merged(programs, "torchscript", tmp_path / name / "together.pt")
    one, two = (tmp_path / name / "together.pt" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("preparation", ["optimize-for-inference", "onednn-graph"])
def test_programs_in_one_file_are_prepared_as_others_are(
    programs: dict[str, Path], net: Net, preparation: str, tmp_path: Path
) -> None:
    together = merged(programs, "torchscript", tmp_path / "together.pt").answer
    assert together is not None
    _answers_as(net, open_parts(together, ROWS, "torchscript", preparation))


def test_what_cannot_be_put_together_is_told_and_stays_apart(tmp_path: Path) -> None:
    (tmp_path / "4.pt").write_text("no program", encoding="ascii")
    outcome = merged({"4": tmp_path / "4.pt"}, "torchscript", tmp_path / "together.pt")
    assert outcome.answer is None
    assert "Putting the programs together failed" in outcome.reason
    assert "one by one" in merged({}, "torchscript-eia", tmp_path / "together.pt").reason


def test_the_files_tell_whether_the_programs_are_in_one() -> None:
    assert in_one_file(["program.pt", "golden.safetensors"], SPECS)
    assert not in_one_file(["program.pt", "program-2.pt"], SPECS)
    assert not in_one_file(["program.pt"], parse_specs(("float32[4,64]",)))
    with pytest.raises(ArtifactRefused, match=r"has no program\.pt"):
        in_one_file(["program-2.pt"], SPECS)
    with pytest.raises(ArtifactRefused, match=r"has no program-2\.pt"):
        in_one_file(["program.pt", "program-3.pt"], parse_specs(("float32[2|3|4,64]",)))


def test_a_size_that_the_file_has_no_program_for_is_refused(
    programs: dict[str, Path], tmp_path: Path
) -> None:
    together = merged(programs, "torchscript", tmp_path / "together.pt").answer
    assert together is not None
    with pytest.raises(ArtifactRefused, match="no program for 8"):
        open_parts(together, ["8"], "torchscript", "none")
    with pytest.raises(ArtifactRefused, match="several sizes in one"):
        open_parts(together, ROWS, "torchscript-eia", "none")


@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("g++") is None, reason="AOTInductor needs g++")
def test_machine_code_for_several_sizes_shares_its_weights(net: Net, tmp_path: Path) -> None:
    programs = {}
    for key, rows in ROWS.items():
        (tmp_path / key).mkdir()
        programs[key] = tmp_path / key / "program.pt"
        compile_package(net, (torch.zeros(rows, 64),), programs[key])
    together = merged(programs, "aotinductor", tmp_path / "together.pt").answer
    assert together is not None
    weights = sum(tensor.nbytes for tensor in net.state_dict().values())
    apart = sum(path.stat().st_size for path in programs.values())
    assert together.stat().st_size < apart - 0.4 * weights
    _answers_as(net, open_parts(together, ROWS, "aotinductor", "none"))
