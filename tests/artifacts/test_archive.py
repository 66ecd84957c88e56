from __future__ import annotations

import stat
import zipfile
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from artifacts import archive
from artifacts.errors import ArtifactRefused
from tests.artifacts.manifests import packed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONTENT = {"golden.safetensors": b"golden answer", "program.pt": b"a compiled program"}


def test_what_was_packed_comes_out_verified(tmp_path: Path) -> None:
    path, manifest = packed(tmp_path, CONTENT)
    with closing(archive.open_verified(path, expected_digest=manifest.digest, target="c7i.xlarge")) as opened:
        assert opened.manifest == manifest
        assert opened.read("program.pt") == b"a compiled program"
        (tmp_path / "out").mkdir()
        opened.unpack(tmp_path / "out")
    unpacked = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    assert unpacked == {**CONTENT, "manifest.json": manifest.canonical()}


def test_the_same_content_gives_the_same_bytes_and_name(tmp_path: Path) -> None:
    first, manifest = packed(tmp_path / "a", CONTENT)
    second, _ = packed(tmp_path / "b", CONTENT)
    assert first.name == second.name == f"model-c7i.xlarge-{manifest.digest[:12]}.aei"
    assert first.read_bytes() == second.read_bytes()


def test_packing_leaves_no_half_written_file(tmp_path: Path) -> None:
    path, _ = packed(tmp_path, CONTENT)
    with pytest.raises(FileNotFoundError):
        archive.pack(
            archive.open_verified(path).manifest,
            dict.fromkeys(CONTENT, tmp_path / "missing"),
            tmp_path / "other",
        )
    assert list((tmp_path / "other").iterdir()) == []


Entries = list[tuple[zipfile.ZipInfo, bytes]]


def _rewrite(path: Path, change: Callable[[Entries], Entries], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path) as source:
        entries = [(info, source.read(info)) for info in source.infolist()]
    with zipfile.ZipFile(path, "w", compression) as target:
        for info, data in change(entries):
            target.writestr(info, data, compression)


def _entry(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.external_attr = mode << 16
    return info


def _swap(name: str, data: bytes) -> Callable[[Path], None]:
    def tamper(path: Path) -> None:
        _rewrite(path, lambda all_: [(i, data if i.filename == name else old) for i, old in all_])

    return tamper


def _add(name: str, mode: int = stat.S_IFREG | 0o644) -> Callable[[Path], None]:
    def tamper(path: Path) -> None:
        _rewrite(path, lambda all_: [*all_, (_entry(name, mode), b"program.pt")])

    return tamper


def _drop(name: str) -> Callable[[Path], None]:
    def tamper(path: Path) -> None:
        _rewrite(path, lambda all_: [(i, data) for i, data in all_ if i.filename != name])

    return tamper


def _rename(old: str, new: str) -> Callable[[Path], None]:
    def tamper(path: Path) -> None:
        _rewrite(path, lambda all_: [(_entry(i.filename.replace(old, new)), data) for i, data in all_])

    return tamper


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(b"a compiled program")] ^= 1
    path.write_bytes(bytes(data))


def _twice(path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        _rewrite(path, lambda all_: [*all_, (_entry("program.pt"), b"another program!!!")])


def _link(path: Path) -> None:
    _rewrite(
        path,
        lambda all_: [
            (_entry(i.filename, stat.S_IFLNK | 0o777) if i.filename == "program.pt" else i, data)
            for i, data in all_
        ],
    )


def _compress(path: Path) -> None:
    _rewrite(path, lambda all_: all_, zipfile.ZIP_DEFLATED)


def _older_format(path: Path) -> None:
    _rewrite(path, lambda all_: [(i, data.replace(b"artifact/2", b"artifact/0")) for i, data in all_])


TAMPERINGS = {
    "not a zip": lambda path: path.write_bytes(b"#!/bin/sh\necho hello\n"),
    "empty": lambda path: path.write_bytes(b""),
    "truncated": _cut,
    "one bit flipped": _flip_a_bit,
    "program replaced, same size": _swap("program.pt", b"A compiled program"),
    "program replaced, other size": _swap("program.pt", b"short"),
    "manifest replaced": _swap("manifest.json", b"{}"),
    "manifest removed": _drop("manifest.json"),
    "file removed": _drop("golden.safetensors"),
    "file added": _add("extra.py"),
    "file twice": _twice,
    "absolute name": _add("/etc/cron.d/job"),
    "parent directory": _add("../outside"),
    "hidden parent directory": _rename("program.pt", "x/../../program.pt"),
    "backslashes": _add("..\\outside"),
    "directory": _add("sub/file"),
    "symbolic link": _link,
    "device": _add("device", stat.S_IFCHR | 0o644),
    "compressed": _compress,
    "unknown format": _older_format,
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_a_tampered_artifact_is_refused(tampering: str, tmp_path: Path) -> None:
    path, _ = packed(tmp_path, CONTENT)
    archive.open_verified(path).close()
    TAMPERINGS[tampering](path)
    with pytest.raises(ArtifactRefused) as refused:
        archive.open_verified(path)
    assert refused.value.message
    assert refused.value.hint


def test_another_artifact_than_the_promised_one_is_refused(tmp_path: Path) -> None:
    _, promised = packed(tmp_path / "a", CONTENT)
    other, _ = packed(tmp_path / "b", CONTENT, name="other")
    with pytest.raises(ArtifactRefused, match=promised.digest[:12]):
        archive.open_verified(other, expected_digest=promised.digest)


def test_an_artifact_for_another_target_is_refused(tmp_path: Path) -> None:
    path, _ = packed(tmp_path, CONTENT)
    with pytest.raises(ArtifactRefused, match=r"made for c7i\.xlarge; this is inf2\.xlarge"):
        archive.open_verified(path, target="inf2.xlarge")


def test_a_file_that_changes_after_the_check_is_refused(tmp_path: Path) -> None:
    path, _ = packed(tmp_path, {"program.pt": b"a compiled program" * 5000})  # more than is read ahead
    with closing(archive.open_verified(path)) as opened:
        data = path.read_bytes()
        with path.open("r+b") as stream:
            stream.seek(data.rindex(b"a compiled program"))
            stream.write(b"X")
        (tmp_path / "out").mkdir()
        with pytest.raises(ArtifactRefused, match="changed while"):
            opened.unpack(tmp_path / "out")
