from __future__ import annotations

import json
import os
from contextlib import closing
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from artifacts.compile.cache import Store
from artifacts.compile.request import CompileRequest, CompileResult, Lanes, Method
from artifacts.compile.sharing import Line
from artifacts.errors import BadRequest
from provisioning.aws.s3 import S3
from provisioning.compiling import compile_model
from provisioning.config import CacheConfig, parse_cache
from provisioning.errors import AccessDenied, AwsUnreachable
from provisioning.shared_cache import Place, SharedCache, attended

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "a" * 64
MODEL = "import torch\nclass scale(torch.nn.Module):\n    def forward(self, x):\n        return x * 2\n"


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="cache")
        yield S3(client, "us-east-1")


def machine(objects: S3, folder: Path) -> SharedCache:
    place = Place(bucket="cache", prefix="team/")
    return SharedCache(objects=objects, place=place, store=Store(folder / "amazonei" / "compile"))


def raced(cache: SharedCache, folder: Path, program: bytes = b"program") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "made").write_bytes(program)
    cache.store.keep(KEY, {"lane": "trace"}, {"program": folder / "made"})


def silent(_: str) -> None:
    pass


def test_what_one_machine_sends_another_finds_through_the_line(objects: S3, tmp_path: Path) -> None:
    first, second = machine(objects, tmp_path / "1"), machine(objects, tmp_path / "2")
    raced(first, tmp_path / "made")
    first.publish(KEY, silent)
    with attended(second) as line, closing(Line(os.dup(line.descriptors[0]))) as ours:
        store = Store(second.store.directory, ours)
        found = store.find(KEY)
        assert store.find("b" * 64) is None
        store.keep("c" * 64, {}, {})
    assert found is not None
    assert found.document == {"lane": "trace"}
    assert found.files["program"].read_bytes() == b"program"
    assert line.kept == ["c" * 64]
    assert second.take_warnings() == ()


def test_the_first_of_two_that_send_stays(objects: S3, tmp_path: Path) -> None:
    first, second = machine(objects, tmp_path / "1"), machine(objects, tmp_path / "2")
    raced(first, tmp_path / "made", b"one")
    raced(second, tmp_path / "made", b"two")
    first.publish(KEY, silent)
    before = objects.keys("cache")
    second.publish(KEY, silent)
    assert objects.keys("cache") == before
    assert len(before) == 2


@pytest.mark.parametrize("damaged", ["entry.json", "program"])
def test_a_corrupt_entry_is_not_used_and_is_replaced(objects: S3, tmp_path: Path, damaged: str) -> None:
    first, second = machine(objects, tmp_path / "1"), machine(objects, tmp_path / "2")
    raced(first, tmp_path / "made")
    first.publish(KEY, silent)
    name = next(
        key for key in objects.keys("cache") if key.endswith("entry.json") == (damaged == "entry.json")
    )
    objects.put_object("cache", name, objects.get_object("cache", name)[:-3])
    assert second.fetch(KEY) is False
    assert not second.store.place(KEY).exists()
    assert "corrupt" in second.take_warnings()[0]
    raced(second, tmp_path / "made", b"raced again")
    second.publish(KEY, silent)
    third = machine(objects, tmp_path / "3")
    assert third.fetch(KEY) is True
    assert (third.store.place(KEY) / "program").read_bytes() == b"raced again"


@pytest.mark.parametrize("name", ["../../outside", "entry.json", "{tmp_path}/elsewhere"])
def test_a_name_that_leads_elsewhere_is_corrupt(objects: S3, tmp_path: Path, name: str) -> None:
    from artifacts import canonical

    # Inside of the test's own folder: what this test is for would write there.
    name = name.format(tmp_path=tmp_path)
    body = {"key": KEY, "document": {}, "files": {name: "0" * 64}}
    sealed = {"body": body, "sha256": canonical.sha256(canonical.encode(body))}
    objects.put_object("cache", f"team/{KEY}/entry.json", json.dumps(sealed).encode())
    objects.put_object("cache", f"team/{KEY}/{'0' * 64}", b"not ours")
    cache = machine(objects, tmp_path / "1")
    assert cache.fetch(KEY) is False
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


class Refusing(S3):
    def __init__(self, error: Exception) -> None:
        self.asked = 0
        self._error = error

    def pieces(self, bucket: str, key: str) -> Iterator[bytes]:
        self.asked += 1
        raise self._error


@pytest.mark.parametrize("error", [AccessDenied("no"), AwsUnreachable("nobody there")])
def test_a_bucket_that_refuses_is_one_warning_and_is_not_asked_again(
    error: Exception, tmp_path: Path
) -> None:
    objects = Refusing(error)
    cache = machine(objects, tmp_path)
    assert [cache.fetch(KEY), cache.fetch("b" * 64)] == [False, False]
    cache.publish(KEY, silent)
    assert objects.asked == 1
    (warning,) = cache.take_warnings()
    assert "left alone" in warning


def test_a_bucket_that_is_not_there_is_told(objects: S3, tmp_path: Path) -> None:
    place = Place(bucket="nowhere-at-all")
    cache = SharedCache(objects=objects, place=place, store=Store(tmp_path))
    assert cache.fetch(KEY) is False
    assert "NoSuchBucket" in cache.take_warnings()[0]


def test_the_bucket_is_only_the_one_that_somebody_named() -> None:
    assert parse_cache({}) is None
    filed = {"cache": {"bucket": "ours", "prefix": "team"}}
    assert parse_cache(filed) == CacheConfig(bucket="ours", prefix="team/")
    assert parse_cache(filed, "mine") == CacheConfig(bucket="mine")
    assert parse_cache({}, "s3://mine/a/b/") == CacheConfig(bucket="mine", prefix="a/b/")
    with pytest.raises(BadRequest, match="Upper"):
        parse_cache({}, "Upper")


def compiled(
    monkeypatch: pytest.MonkeyPatch, folder: Path, model: Path, shared: SharedCache
) -> tuple[CompileResult, list[str]]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    request = CompileRequest(
        model=f"{model}:scale",
        inputs=("x=float32[1,4]",),
        target="c7i.xlarge",
        out_dir=folder / "out",
        method=Method.TRACE,
        lanes=Lanes.QUICK,
    )
    said: list[str] = []
    return compile_model(request, said.append, shared=shared), said


@pytest.mark.nightly
def test_a_second_machine_does_not_race_again(
    objects: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "net.py"
    model.write_text(MODEL, encoding="ascii")
    results = []
    for name in ("one", "two"):
        shared = machine(objects, tmp_path / name)
        result, said = compiled(monkeypatch, tmp_path / name, model, shared)
        results.append((result, any("raced before" in line for line in said)))
        assert any("sending the race" in line for line in said) is (name == "one")
        assert result.warnings == ()
    (first, first_hit), (second, second_hit) = results
    assert (first_hit, second_hit) == (False, True)
    assert second.digest == first.digest
    assert second.lanes == first.lanes


@pytest.mark.nightly
def test_a_bucket_that_refuses_does_not_stop_a_compile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "net.py"
    model.write_text(MODEL, encoding="ascii")
    shared = machine(Refusing(AccessDenied("no")), tmp_path / "one")
    result, _ = compiled(monkeypatch, tmp_path / "one", model, shared)
    assert result.artifact.exists()
    assert "left alone" in result.warnings[-1]
