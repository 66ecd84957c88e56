"""What another user could still change on a host is followed nowhere."""

from __future__ import annotations

import io
import itertools
import os
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from artifacts.canonical import sha256
from artifacts.errors import BadRequest, CompileError
from artifacts.serve import building
from artifacts.serve.bundle import build_compiler
from artifacts.serve.installation import Host
from artifacts.serve.settings import HostSettings
from artifacts.serve.storage import Storage
from artifacts.serve.supervision import ProcessSupervisor

if TYPE_CHECKING:
    from pathlib import Path


class OneObject(Storage):
    """A bucket with one object in it."""

    body = b""

    def fetch(self, key: str, path: Path, most: int | None = None) -> None:
        path.write_bytes(type(self).body)


def test_a_link_or_a_pipe_in_place_of_the_artifact_is_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of somebody else")
    (tmp_path / "link.aei").symlink_to(secret)
    os.mkfifo(tmp_path / "pipe.aei")
    for name in ("link.aei", "pipe.aei", "missing.aei"):
        with pytest.raises(CompileError):
            building._take(tmp_path / name, tmp_path / "copy")
    assert not (tmp_path / "copy").exists() or (tmp_path / "copy").read_bytes() == b""


@pytest.mark.parametrize("name", ["../out", "/etc/out", "a/../../out"])
def test_an_archive_that_leads_out_of_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, "x")
    OneObject.body = packed.getvalue()
    settings = HostSettings(
        home=tmp_path,
        address="127.0.0.1",
        instance_id="i-0",
        accelerator="inf2.xlarge",
        emulated=True,
        python=sys.executable,
    )
    host = Host(
        settings=settings,
        storage=OneObject("box"),
        supervisor=ProcessSupervisor(tmp_path, tmp_path),
        progress=lambda _: None,
    )
    (tmp_path / "model").mkdir()
    with pytest.raises(BadRequest, match="outside of it"):
        building._unpack(host, "key", sha256(OneObject.body), tmp_path / "model")
    assert list((tmp_path / "model").iterdir()) == []


def test_the_compiler_travels_whole_and_the_same_sources_give_the_same_bytes() -> None:
    first = build_compiler()
    assert first == build_compiler()
    with zipfile.ZipFile(io.BytesIO(first)) as bundle:
        names = set(bundle.namelist())
    assert {"artifacts/targets.toml", "artifacts/compile/__main__.py", "artifacts/serve/host.py"} <= names


def _closed(folder: Path) -> bool:
    return not folder.stat().st_mode & 0o001


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up its privileges")
def test_root_compiles_as_another_user_without_credentials_and_within_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "USER", "daemon")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not for models")
    for folder in itertools.takewhile(_closed, (tmp_path, *tmp_path.parents)):
        folder.chmod(0o711)
    for name in ("code", "model", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "model/net.py").write_text("")
    (tmp_path / "request.json").write_text("{}")
    building._give_away(tmp_path)
    script = "id -un; id -Gn; ulimit -d; echo mine > $HOME/made; touch ../code/x ../x; env"
    with (tmp_path / "log").open("w+") as log:
        with building._start(["/bin/sh", "-c", script], tmp_path, sys.executable, log.fileno()) as process:
            assert process.wait() == 0
        log.seek(0)
        user, groups, limit, *rest = log.read().splitlines()
    most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * building.MEMORY_SHARE
    assert (user, groups, int(limit)) == ("daemon", "daemon", int(most) // 1024)
    assert not any("not for models" in line for line in rest)
    assert (tmp_path / "out/made").read_text() == "mine\n"
    assert (tmp_path / "model/net.py").owner() == "daemon"
    assert not (tmp_path / "code/x").exists()
    assert not (tmp_path / "x").exists()
