from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from artifacts.compile import toolstate
from artifacts.serve.processor import processor_model

if TYPE_CHECKING:
    from pathlib import Path

RECORD = """\
net/__init__.py,sha256={digest},12
net/__pycache__/__init__.cpython-311.pyc,,
../../../bin/net,sha256={machine},220
__editable__.net-1.pth,sha256={machine},30
net-1.dist-info/direct_url.json,sha256={machine},60
net-1.dist-info/RECORD,,
"""


def digest_of(monkeypatch: pytest.MonkeyPatch, place: Path, digest: str = "abc") -> str:
    """The digest on a machine whose packages lie here, were installed now, and name this place."""
    distribution = place / "net-1.dist-info"
    distribution.mkdir(parents=True, exist_ok=True)
    (distribution / "RECORD").write_text(RECORD.format(digest=digest, machine=place.name), encoding="ascii")
    os.utime(distribution, (len(place.name), len(place.name)))
    monkeypatch.setattr("sys.path", [str(place)])
    toolstate.race_digest.cache_clear()
    return toolstate.race_digest()


@pytest.fixture(autouse=True)
def forgotten() -> None:
    toolstate.race_digest.cache_clear()


def test_two_machines_with_the_same_packages_in_other_places_agree(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert digest_of(monkeypatch, tmp_path / "one") == digest_of(monkeypatch, tmp_path / "another")


def test_a_package_of_the_same_version_with_another_content_is_another_tool(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert digest_of(monkeypatch, tmp_path / "one") != digest_of(monkeypatch, tmp_path / "one", "abd")


@pytest.mark.parametrize(
    ("name", "other"),
    [("processor_model", lambda: ("model: 2",)), ("_compiler_itself", lambda: "another g++")],
)
def test_another_processor_or_compiler_is_another_tool(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, other: object
) -> None:
    before = digest_of(monkeypatch, tmp_path / "one")
    monkeypatch.setattr(toolstate, name, other)
    assert digest_of(monkeypatch, tmp_path / "one") != before


def test_a_processor_is_named_by_its_first_core_and_not_by_its_clock(tmp_path: Path) -> None:
    core = "processor\t: 0\nmodel\t\t: 85\nmodel name\t: Xeon\nstepping\t: 7\ncpu MHz\t\t: {mhz}\n"
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(core.format(mhz=2100) + "\n" + core.format(mhz=3100), encoding="ascii")
    assert processor_model(cpuinfo) == ("model: 85", "model name: Xeon", "stepping: 7")
    assert processor_model(tmp_path / "nowhere") == ()
