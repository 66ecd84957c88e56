"""What travels of a model is what its folder holds, and no more."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from artifacts.errors import BadRequest
from provisioning import sources
from provisioning.sources import find_source, pack_source


@pytest.fixture
def working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "models/net.py",
        "models/weights/w.pt",
        "models/.git/x",
        "models/__pycache__/net.pyc",
        "a.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "models/.env").write_text("SECRET=1")
    (tmp_path / "models/link").symlink_to("/etc/hostname")
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert/config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("model", "files", "named"),
    [
        ("models/net.py:net", ["models/net.py", "models/weights/w.pt"], "models/net.py:net"),
        ("models/weights/w.pt", ["models/weights/w.pt"], "models/weights/w.pt"),
        ("bert", ["bert/config.json"], "bert"),
        ("torchvision.models:resnet50", [], "torchvision.models:resnet50"),
    ],
)
def test_the_files_of_a_model_travel_by_their_own_names(
    working: Path, model: str, files: list[str], named: str
) -> None:
    source = find_source(model, working)
    assert [file.as_posix() for file in source.files] == files
    assert source.model == named


def test_a_model_outside_of_the_working_folder_keeps_its_folders_name(working: Path) -> None:
    source = find_source(f"{working}/models/net.py:net", working / "bert")
    assert source.model == "models/net.py:net"
    assert Path("models/net.py") in source.files


def test_the_same_files_make_the_same_archive(working: Path) -> None:
    source = find_source("models/net.py:net", working)
    first = pack_source(source, working / "first.zip")
    (working / "models/net.py").touch()
    assert pack_source(source, working / "second.zip") == first
    with zipfile.ZipFile(working / "first.zip") as archive:
        assert archive.read("models/weights/w.pt") == b"models/weights/w.pt"


def test_too_much_is_refused_before_anything_is_read(working: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST_BYTES", 5)
    with pytest.raises(BadRequest, match="are the most that travel") as caught:
        find_source("models/net.py:net", working)
    assert "folder of their own" in caught.value.hint


def test_a_model_that_is_not_there_is_a_bad_request(working: Path) -> None:
    with pytest.raises(BadRequest, match=r"There is no nothing\.py"):
        find_source("nothing.py:net", working)
