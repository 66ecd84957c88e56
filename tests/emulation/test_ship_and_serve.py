"""Versions come, fail and go back through the installed command, on a host that really runs."""

from __future__ import annotations

import json
import re
import signal
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from artifacts import archive
from provisioning.uploading import Upload, store
from provisioning.waiting import SystemClock
from tests.artifacts.serve.open_loop import OpenLoop, following
from tests.emulation.laptop import REGION
from tests.provisioning.operated import Account, Bucket

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.emulation.laptop import Finished, Laptop

X = [[2.0, 4.0, 6.0, 8.0]]
EM = ("--emulate", "--region", REGION)

# The same on one host without the commands around it: tests/artifacts/serve/test_switching.py.
pytestmark = pytest.mark.nightly


def repacked(artifact: Path, where: Path, change: Callable[[Path], None]) -> Path:
    """Return the artifact with changed files and the right digests of them."""
    import dataclasses

    unpacked = where / "unpacked"
    unpacked.mkdir(parents=True)
    with closing(archive.open_verified(artifact)) as contents:
        contents.unpack(unpacked)
        change(unpacked)
        names = [file.path for file in contents.manifest.files]
        files = tuple(archive.digest_file(unpacked / name, name) for name in names)
        manifest = dataclasses.replace(contents.manifest, files=files)
    return archive.pack(manifest, {name: unpacked / name for name in names}, where)


def wrong_golden(unpacked: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(unpacked / "golden.safetensors")
    save_file(
        {name: tensor + name.startswith("output.") for name, tensor in tensors.items()},
        unpacked / "golden.safetensors",
    )


def no_program(unpacked: Path) -> None:
    (unpacked / "program.pt").write_bytes(b"this is no program")


def outputs(laptop: Laptop) -> list[float]:
    asked = laptop.amazonei("invoke", *EM, "--input-file", "-", stdin=json.dumps({"inputs": {"x": X}})).ok()
    (answer,) = asked.document["outputs"].values()
    found: list[float] = answer[0]
    return found


def shipped(laptop: Laptop, artifact: Path, *more: str) -> Finished:
    return laptop.amazonei("ship", str(artifact), *EM, "--output", "json", *more)


@pytest.fixture(scope="module")
def first(laptop: Laptop) -> Path:
    """The deployment stands and serves a model that halves."""
    laptop.write_job("serve", "c7i.xlarge")
    laptop.amazonei("setup", *EM, "--accelerator", "c7i.xlarge", "--yes").ok()
    artifact = laptop.compiled(0.5)
    shipped(laptop, artifact).ok()
    return artifact


def test_versions_come_and_go_back_under_load(laptop: Laptop, first: Path) -> None:
    nothing = laptop.amazonei("ship", "--rollback", *EM, "--output", "json")
    assert nothing.code == 5
    assert "keeps no version from before" in nothing.document["error"]["message"]

    with laptop.requests() as requests:
        again = shipped(laptop, first).ok().document
    assert requests == [("HEAD", "models"), ("PUT", "requests")]  # no data was sent
    (host,) = again["hosts"]
    assert again["hosts"][host]["changed"] is False

    second = laptop.compiled(3.0)
    home = laptop.folder / "state/amazonei/emulator/hosts" / host / "amazonei"
    client = OpenLoop(following(home, json.dumps({"inputs": {"x": X}}).encode()), rate=50)
    with client.sending():
        shipped(laptop, second).ok()
        assert outputs(laptop) == [6.0, 12.0, 18.0, 24.0]
        laptop.amazonei("ship", "--rollback", *EM).ok()
    assert client.failures == []
    assert len(client.answers) > 100
    assert len(set(client.answers)) == 2  # the old model's and the new one's, and nothing else
    assert outputs(laptop) == [1.0, 2.0, 3.0, 4.0]

    status = laptop.amazonei("status", *EM, "--hosts", "--output", "json").ok().document
    (state,) = status["hosts"]
    assert (state["id"], state["serving"]["healthy"], state["problem"]) == (host, True, None)
    assert state["serving"]["digest"] == again["artifact"]
    assert state["previous"] != again["artifact"]


def test_ctrl_c_leaves_the_hosts_to_it_says_so_and_the_same_command_goes_on(
    laptop: Laptop, first: Path
) -> None:
    line = ("ship", str(laptop.compiled(7.0)), *EM)
    ended = laptop.interrupt(signal.SIGINT, ": InProgress", "amazonei", *line)
    assert ended.code == 75, ended.err
    found = re.search(r"Its command ([0-9a-f-]{36}) goes on without it, on i-[0-9a-f]+, also", ended.err)
    assert found, ended.err
    assert f"cancel-command --region {REGION} --command-id {found[1]}" in ended.err
    assert "Run the same command again to go on." in ended.err
    assert "status --hosts" in ended.err
    laptop.amazonei(*line).ok()
    assert outputs(laptop) == [14.0, 28.0, 42.0, 56.0]
    laptop.amazonei("ship", str(first), *EM).ok()
    assert outputs(laptop) == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("change", "said"),
    [(wrong_golden, "answers the golden request wrongly: off by 1"), (no_program, "before it was ready")],
)
def test_a_broken_version_exits_5_and_leaves_the_old_one_serving(
    laptop: Laptop, first: Path, tmp_path: Path, change: Callable[[Path], None], said: str
) -> None:
    failed = shipped(laptop, repacked(first, tmp_path, change))
    assert failed.code == 5
    error = failed.document["error"]
    assert said in error["message"]
    if change is no_program:
        assert "PytorchStreamReader" in error["hint"]  # the end of the server's log
        log = laptop.amazonei("logs", *EM, "--output", "json").ok().document
        ((_, of_host),) = log["hosts"].items()
        assert any("PytorchStreamReader" in tail for tail in of_host["logs"].values())
    assert outputs(laptop) == [1.0, 2.0, 3.0, 4.0]


def test_an_object_that_was_replaced_in_the_bucket_is_refused_and_mended_by_shipping_again(
    laptop: Laptop, first: Path
) -> None:
    keys = laptop.keys()
    third = laptop.compiled(5.0)
    shipped(laptop, third).ok()
    laptop.amazonei("ship", "--rollback", *EM).ok()
    bucket = laptop.type(
        "aws", "s3api", "list-buckets", "--query", "Buckets[0].Name", "--output", "text", env=keys
    )
    key, body = largest_piece(third)
    where = ("--bucket", bucket.ok().out.strip(), "--key", key)
    changed = laptop.folder / "changed"
    changed.write_bytes(bytes(len(body)))  # of the same size: no listing shows it
    laptop.type("aws", "s3api", "put-object", *where, "--body", str(changed), env=keys).ok()
    failed = shipped(laptop, third)
    assert failed.code == 5
    assert "has other bytes than its name says" in failed.document["error"]["message"]
    assert "--resend" in failed.document["error"]["hint"]
    assert outputs(laptop) == [1.0, 2.0, 3.0, 4.0]
    laptop.amazonei("ship", str(third), "--resend", *EM).ok()
    assert outputs(laptop) == [10.0, 20.0, 30.0, 40.0]


def largest_piece(artifact: Path) -> tuple[str, bytes]:
    """The key and the bytes of what this tool stores most of for an artifact."""
    with closing(archive.open_verified(artifact)) as contents:
        name = contents.manifest.name
    bucket = Bucket()
    store(
        Upload(
            account=Account(bucket),
            bucket="",
            key="recipe",
            scope=name,
            clock=SystemClock(),
            say=lambda _: None,
        ),
        artifact,
    )
    pieces = {key: body for key, body in bucket.objects.items() if not key.endswith("recipe")}
    return max(pieces.items(), key=lambda item: len(item[1]))
