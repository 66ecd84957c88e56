from __future__ import annotations

import errno
import json
import os
import signal
from typing import TYPE_CHECKING

import click
import pytest

from artifacts.errors import AmazoneiError, BadRequest, CompileError, ServeFailed, TargetRetired
from provisioning.cli.boundary import run, wants_json
from provisioning.errors import AwsError, Interrupted, LeftBehind, PreflightFailed
from provisioning.findings import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Callable

NO_NET = Finding(level=Level.ERROR, code="no-net", message="There is no network.", remedy="make one")
SLOW = Finding(level=Level.WARNING, code="slow", message="It is slow.", remedy="wait")


def command(body: Callable[[], object]) -> click.Command:
    options: list[click.Parameter] = [click.Option(["--output"]), click.Option(["--debug"], is_flag=True)]
    return click.Command("job", callback=lambda **_: body(), params=options)


def raising(error: BaseException) -> click.Command:
    def body() -> None:
        raise error

    return command(body)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadRequest("no"), 2),
        (TargetRetired("gone"), 2),
        (PreflightFailed([NO_NET]), 3),
        (CompileError("no"), 4),
        (AwsError("no"), 5),
        (ServeFailed("no"), 5),
        (LeftBehind("a host"), 6),
        (Interrupted("stopped"), 75),
    ],
)
def test_each_family_ends_with_its_exit_code_and_no_traceback(
    error: AmazoneiError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(raising(error), [], prog_name="job") == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"error: {error.message}\n")
    assert "Traceback" not in said.err


def test_an_error_is_one_json_document_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(BadRequest("no", "do")), ["--output", "json"], prog_name="job") == 2
    said = capsys.readouterr()
    assert json.loads(said.out) == {"error": {"code": "bad-request", "message": "no", "hint": "do"}}
    assert said.err == ""


def test_preflight_lists_every_problem_and_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    other = Finding(level=Level.ERROR, code="x", message="No host.", remedy="ask")
    assert run(raising(PreflightFailed([NO_NET, SLOW, other])), [], prog_name="job") == 3
    err = capsys.readouterr().err
    assert "There is no network. (make one)\nNo host. (ask)\n" in err
    assert "It is slow" not in err


def test_a_bug_shows_where_it_happened_also_beside_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(KeyError("zone")), ["--output=json"], prog_name="job") == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["error"]["code"] == "bug"
    assert "Traceback" in said.err
    assert "KeyError: 'zone'" in said.err


def test_debug_shows_the_traceback_of_an_error_we_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(BadRequest("no")), ["--debug"], prog_name="job") == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_wrong_option_is_a_bad_request_that_names_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command(lambda: None), ["--nope"], prog_name="job") == 2
    err = capsys.readouterr().err
    assert "No such option" in err
    assert "hint: See: job --help" in err


def test_ctrl_c_is_an_interruption_and_not_a_declined_question(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(KeyboardInterrupt()), [], prog_name="job") == 75
    assert "error: Interrupted." in capsys.readouterr().err
    assert run(raising(click.Abort()), [], prog_name="job") == 2
    assert "Pass --yes" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_is_an_interruption(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    assert run(command(lambda: signal.raise_signal(number)), [], prog_name="job") == 75
    assert signal.getsignal(number) is before


def test_a_signal_that_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run(command(lambda: signal.raise_signal(signal.SIGHUP)), [], prog_name="job") == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_path_the_machine_refuses_is_a_bad_request_that_names_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "build/report.html")
    assert run(raising(full), [], prog_name="job") == 2
    assert "error: build/report.html: No space left on device." in capsys.readouterr().err


def test_a_full_disk_is_no_bug_also_where_no_path_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert run(raising(full), [], prog_name="job") == 2
    assert "No space left on device" in capsys.readouterr().err


def test_any_other_error_of_the_system_is_a_bug() -> None:
    assert run(raising(OSError(errno.EIO, "I/O error")), [], prog_name="job") == 1


def test_the_exit_code_a_command_returns_is_the_exit_code() -> None:
    assert run(command(lambda: 6), [], prog_name="job") == 6
    assert run(command(lambda: None), [], prog_name="job") == 0


def test_a_group_without_a_command_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(click.Group("tool", no_args_is_help=True), [], prog_name="tool") == 2
    said = capsys.readouterr()
    assert "Usage: tool" in said.err
    assert "error:" not in said.err


@pytest.mark.parametrize(
    ("arguments", "json_wanted"),
    [
        ([], False),
        (["--output", "json"], True),
        (["x", "--output=json"], True),
        (["--output", "text"], False),
        (["--output"], False),
        (["json", "--output"], False),
    ],
)
def test_whether_json_is_wanted_can_be_read_from_wrong_arguments(
    arguments: list[str], *, json_wanted: bool
) -> None:
    assert wants_json(arguments) is json_wanted
