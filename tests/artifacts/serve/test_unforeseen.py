"""What goes wrong on a host in a way of its own is an answer too, with its traceback on standard error."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import pytest

from artifacts.errors import DiskFull
from artifacts.serve.host import respond, run
from artifacts.serve.requests import StatusRequest, StopRequest
from artifacts.serve.storage import Storage
from tests.artifacts.serve.staged import Stage, Theatre

if TYPE_CHECKING:
    from pathlib import Path


class Failing(Stage):
    """A supervisor that fails with this."""

    error: Exception

    def stop(self, port: int) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "exit_code", "code", "part", "remedy"),
    [
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/opt/x"),
            5,
            "disk-full",
            "/opt/x",
            "volume larger",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/opt/x"),
            5,
            "serve-failed",
            "/opt/x",
            "results/stop/output/",
        ),
        (KeyError("pid"), 1, "host-broken", "KeyError: 'pid'", "results/stop/output/"),
    ],
    ids=["full", "refused", "defect"],
)
def test_what_nobody_foresaw_is_answered_with_a_code_and_a_remedy(  # noqa: PLR0917
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    exit_code: int,
    code: str,
    part: str,
    remedy: str,
) -> None:
    stage = Failing()
    stage.error = error
    theatre = Theatre(root=tmp_path, stage=stage)
    response, left = respond(theatre.host, StopRequest(id="stop"), "stop")
    assert (left, response["ok"], response["id"]) == (exit_code, False, "stop")
    told = response["error"]
    assert told["code"] == code
    assert part in told["message"]
    assert remedy in told["hint"]
    assert "Traceback" in capsys.readouterr().err


def aws(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "bin" / "aws"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def test_what_does_not_fit_when_it_is_fetched_is_told_as_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws(tmp_path, monkeypatch, "echo '[Errno 28] No space left on device' >&2; exit 1")
    with pytest.raises(DiskFull, match="No space left on device") as caught:
        Storage("bucket").fetch("key", tmp_path / "object")
    assert "volume larger" in caught.value.hint


FETCHES = 'for last in "$@"; do :; done; [ "$2" = get-object ] && cp "{request}" "$last"'


@pytest.mark.parametrize(
    ("script", "part", "known"),
    [
        ('for last in "$@"; do :; done; mkdir "$last"', "request.json", None),  # nothing that can be read
        (f"{FETCHES} || {{ echo 'No space left on device' >&2; exit 1; }}", "No space left", "status"),
    ],
    ids=["request", "response"],
)
def test_where_the_bucket_cannot_be_used_the_output_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, part: str, known: str | None
) -> None:
    theatre = Theatre(root=tmp_path)
    host = '{"accelerator": "c7i.xlarge", "instance_id": "i-0", "interpreter": "python3"}'
    (theatre.home / "host.json").write_text(host)
    request = StatusRequest(id="status")
    (tmp_path / "request").write_bytes(request.canonical())
    aws(tmp_path, monkeypatch, script.replace("{request}", str(tmp_path / "request")))
    environment = {
        "AMAZONEI_HOME": str(theatre.home),
        "SSM_Bucket": "bucket",
        "SSM_Request": request.digest,
        "SSM_Operation": "status",
    }
    response, code = run(environment)
    assert (code, response["ok"], response.get("id")) == (5, False, known)
    assert part in response["error"]["message"]
