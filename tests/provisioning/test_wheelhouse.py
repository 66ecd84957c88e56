"""What hosts install is pinned, fetched for their platform, locked by digest and kept."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from artifacts.targets import Family
from provisioning.errors import WheelsMissing
from provisioning.pip_download import pip_downloads
from provisioning.wheel_sets import (
    Platform,
    WheelSet,
    host_platform,
    platform_tags,
    this_platform,
    wheel_set,
)
from provisioning.wheelhouse import TORCH_INDEX, Gathering, gather, gather_for
from tests.artifacts.serve.wheels import bundled_pip, make_wheel

ROOT = Path(__file__).resolve().parents[2]
PIP = bundled_pip().name.split("-")[1]


def own() -> WheelSet:
    found = wheel_set(Family.CPU)
    assert found is not None
    return found


def pins(*files: str) -> dict[str, str]:
    lines = [line for file in files for line in (ROOT / file).read_text().splitlines()]
    found = (re.match(r"([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==([^\s;#]+)", line) for line in lines)
    return {match[1].lower().replace("_", "-"): match[2] for match in found if match}


@pytest.mark.parametrize("family", [family for family in Family if wheel_set(family) is not None])
def test_hosts_get_the_versions_that_the_tool_itself_is_pinned_to(family: Family) -> None:
    wheels, ours = wheel_set(family), pins("requirements.txt", "constraints.txt")
    assert wheels is not None
    for requirement in (*wheels.requirements, *filter(None, [wheels.torch])):
        name, version = requirement.lower().replace("_", "-").split("==")
        assert ours.get(name, version) == version, requirement
        assert name in ours or name in {"pip", "setuptools", "tomli"}, requirement


def test_every_family_but_the_retired_one_has_wheels_and_only_cpu_images_get_pytorch() -> None:
    assert {family for family in Family if wheel_set(family) is None} == {Family.ELASTIC_INFERENCE}
    with_torch = {family for family in Family if (found := wheel_set(family)) is not None and found.torch}
    assert with_torch == {Family.CPU}


def test_a_platform_loads_every_manylinux_up_to_its_glibc_by_both_names() -> None:
    tags = platform_tags("x86_64", 18)
    assert tags[:3] == ("manylinux_2_18_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
    assert tags[-2:] == ("manylinux_2_5_x86_64", "manylinux1_x86_64")
    assert platform_tags("aarch64", 18)[-1] == "manylinux2014_aarch64"  # there was none before


def test_graviton_hosts_get_wheels_for_graviton() -> None:
    assert host_platform("c7g.xlarge", own()).architecture == "aarch64"
    assert "manylinux_2_34_aarch64" in host_platform("c7g.xlarge", own()).tags


def test_only_pytorch_is_looked_for_on_pytorchs_index() -> None:
    where = Platform(architecture="x86_64", pythons=("3.11",), tags=("manylinux_2_28_x86_64",))
    others, torch = pip_downloads(own(), where, TORCH_INDEX, Path("in"))
    assert TORCH_INDEX not in others
    assert torch[torch.index("--extra-index-url") + 1] == TORCH_INDEX
    assert [word for word in torch if "==" in word] == ["torch==2.13.0"]
    for call in (others, torch):
        assert ("--only-binary=:all:" in call, "--no-deps" in call) == (True, True)
        assert call[call.index("--python-version") + 1] == "3.11"
        assert call[call.index("--abi") + 1] == "cp311"


def test_each_python_of_an_image_gets_its_own_wheels() -> None:
    wheels = wheel_set(Family.INFERENTIA2)
    assert wheels is not None
    calls = pip_downloads(wheels, host_platform("inf2.xlarge", wheels), TORCH_INDEX, Path("in"))
    assert [call[call.index("--python-version") + 1] for call in calls] == ["3.10", "3.11", "3.12", "3.13"]
    assert not any(TORCH_INDEX in call for call in calls)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the only place where pip finds anything."""
    folder = tmp_path / "index"
    folder.mkdir()
    (folder / bundled_pip().name).write_bytes(bundled_pip().read_bytes())
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def needs(*requirements: str, torch: str = "") -> WheelSet:
    return WheelSet(
        beside=True,
        pythons=("3.11",),
        glibc=34,
        imports=("probe",),
        requirements=(f"pip=={PIP}", *requirements),
        torch=torch,
    )


def test_what_was_gathered_once_is_kept_and_a_damaged_copy_is_not(index: Path, tmp_path: Path) -> None:
    made = make_wheel(index, "probe", "1.0", "")
    gathering, said = Gathering(torch_index="", cache=tmp_path / "cache"), list[str]()
    first = gather(needs("probe==1.0"), this_platform(), gathering, said.append)
    assert [(wheel.name, wheel.version) for wheel in first.lock.wheels] == [("pip", PIP), ("probe", "1.0")]
    made.unlink()  # the index is not asked again
    assert gather(needs("probe==1.0"), this_platform(), gathering, said.append) == first
    (first.folder / made.name).write_bytes(b"cut short")
    with pytest.raises(WheelsMissing, match="no such wheel") as caught:
        gather(needs("probe==1.0"), this_platform(), gathering, said.append)
    assert (caught.value.exit_code, "probe==1.0" in caught.value.message) == (3, True)
    assert not [path for path in (tmp_path / "cache").iterdir() if path.name.startswith(".incoming")]


def test_the_cuda_build_of_pytorch_is_not_sent_to_a_cpu_host(index: Path, tmp_path: Path) -> None:
    make_wheel(index, "torch", "9.0", "", requires="nvidia-cublas==13.0; platform_system == 'Linux'")
    gathering = Gathering(torch_index="", cache=tmp_path / "cache")
    with pytest.raises(WheelsMissing, match="is the CUDA build") as caught:
        gather(needs(torch="torch==9.0"), this_platform(), gathering, lambda _: None)
    assert TORCH_INDEX in caught.value.hint


def test_retired_hosts_get_no_wheels_and_emulated_ones_get_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[WheelSet, Platform]] = []
    monkeypatch.setattr(
        "provisioning.wheelhouse.gather", lambda wheels, where, *_: asked.append((wheels, where))
    )
    assert gather_for("eia2.medium", Gathering(), lambda _: None, emulated=False) is None
    gather_for("inf2.xlarge", Gathering(), lambda _: None, emulated=True)
    assert asked == [(own(), this_platform())]


@pytest.mark.nightly
def test_the_true_wheelhouse_of_a_cpu_host_can_be_gathered(tmp_path: Path) -> None:
    gathering = Gathering(torch_index="", cache=tmp_path)
    found = gather_for("c7i.xlarge", gathering, lambda _: None, emulated=False)
    assert found is not None
    assert {"torch", "mosec", "safetensors", "numpy", "pip"} <= {wheel.name for wheel in found.lock.wheels}
    for wheel in found.lock.wheels:
        assert zipfile.is_zipfile(found.folder / wheel.filename)
