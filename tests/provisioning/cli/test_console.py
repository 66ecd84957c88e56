from __future__ import annotations

import io
import json
import os
import pty
import re
from typing import TYPE_CHECKING, TextIO

import pytest

from artifacts.errors import BadRequest
from provisioning.cli.console import Console
from provisioning.settings import Output

if TYPE_CHECKING:
    from collections.abc import Iterator


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def console(**options: object) -> Console:
    ticks: Iterator[float] = iter([10.0, 12.5])
    return Console(out=io.StringIO(), err=io.StringIO(), clock=lambda: next(ticks), **options)  # type: ignore[arg-type]


def written(stream: TextIO) -> str:
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def test_in_a_pipe_work_is_plain_lines_with_its_duration() -> None:
    shown = console()
    with shown.activity("setting up"):
        shown.detail("one host")
        shown.detail("   ")
    assert written(shown.err) == "setting up ...\n  one host\nsetting up: done in 2.5 s\n"
    assert written(shown.out) == ""


def test_work_that_fails_is_not_said_to_be_done() -> None:
    shown = console()
    with pytest.raises(BadRequest), shown.activity("setting up"):
        raise BadRequest("no")
    assert written(shown.err) == "setting up ...\n"


def test_the_answer_alone_is_on_stdout() -> None:
    shown = console()
    shown.say("message")
    assert shown.answer({"a": 1}, lambda: "one\n") == 0
    assert (written(shown.out), written(shown.err)) == ("one\n", "message\n")


def test_an_answer_that_is_a_failure_is_still_one_document() -> None:
    shown = console(output=Output.JSON)
    code = shown.answer({"left": ["i-1"]}, "", BadRequest("left", "remove it"))
    document = json.loads(written(shown.out))
    assert code == 2
    assert document == {
        "left": ["i-1"],
        "error": {"code": "bad-request", "message": "left", "hint": "remove it"},
    }
    assert written(shown.err) == "error: left\nhint: remove it\n"


def test_in_a_pipe_no_cell_of_a_table_is_cut() -> None:
    long = "x" * 150
    table = console().table(("what", "note"), [("a", long)])
    assert long in table
    assert not [line for line in table.splitlines() if line != line.rstrip()]


ROWS = [("inf1.24xlarge", "4.7210", "Linux on-demand, per hour, us-west-2, 2026-11-21")]
HEADINGS = ("target", "$/h", "price basis")


@pytest.mark.parametrize("columns", [200, 60, 48])
def test_on_a_terminal_only_prose_wraps(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    table = Console(out=Terminal(), err=Terminal()).table(HEADINGS, ROWS)
    assert max(len(line) for line in table.splitlines()) <= columns
    assert "inf1.24xlarge   4.7210   Linux" in table
    assert "…" not in table
    assert "".join(ROWS[0][2].split())[-10:] in "".join(table.split())


def test_on_a_terminal_too_narrow_for_a_table_rows_are_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    table = Console(out=Terminal(), err=Terminal()).table(HEADINGS, ROWS)
    assert table.splitlines() == ["inf1.24xlarge", "  $/h: 4.7210", f"  price basis: {ROWS[0][2]}"]


def test_a_table_without_rows_is_its_headings() -> None:
    assert console().table(("a", "b"), []).splitlines()[0] == "a   b"


def test_on_a_terminal_the_live_line_never_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    shown = Console(out=Terminal(), err=Terminal())
    with shown.activity("setting up the deployment"):
        shown.detail("HostsInstance1F3632D11 (AWS::EC2::Instance) [CREATE_COMPLETE]\nand more")
        live = shown._live
        assert live is not None
        line = str(live.status)
    assert "\n" not in line
    assert len(line) <= 37
    assert line.endswith("…")


def test_progress_outlives_its_reader() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as err:
        shown = Console(out=io.StringIO(), err=err)
        shown.say("heard")
        os.close(reading)
        shown.say("into the void")
        shown.say("again")
    assert written(shown.out) == ""


def test_a_real_terminal_gets_one_line_per_activity_at_the_end() -> None:
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as err:
        shown = Console(out=io.StringIO(), err=err)
        with shown.activity("asking"):
            shown.detail("once")
        said = ""
        while "done in" not in said:
            said += os.read(master, 65536).decode()
    os.close(master)
    assert "once" in said
    assert said.count("asking: done in") == 1
    assert said.rpartition("\x1b[2K")[2].startswith("asking: done in")  # the live line was cleared


def test_in_a_pipe_a_host_is_a_line_for_each_state() -> None:
    shown = console()
    with shown.activity("shipping"):
        shown.host("i-1", "InProgress")
        shown.host("i-1", "Success")
    assert written(shown.err).splitlines()[1:3] == ["  i-1: InProgress", "  i-1: Success"]


def live_text(shown: Console) -> str:
    assert shown._live is not None
    return str(shown._live.status)


def test_on_a_terminal_each_host_has_a_line_that_changes_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("TERM", "xterm")
    shown = Console(out=Terminal(), err=Terminal())
    with shown.activity("shipping net.aei"):
        shown.detail("installing")
        for host, state in (("i-1", "Pending"), ("i-2", "Pending"), ("i-1", "InProgress and wordy about it")):
            shown.host(host, state)
        assert live_text(shown).splitlines() == [
            "shipping net.aei: installi…",
            "  i-1 InProgress and wordy…",
            "  i-2 Pending",
        ]
    with shown.activity("asking"):
        assert live_text(shown) == "asking"  # hosts of before are not this activity's


def test_a_fleet_that_does_not_fit_shows_who_is_not_done_and_counts_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "7")
    monkeypatch.setenv("TERM", "xterm")
    shown = Console(out=Terminal(), err=Terminal())
    with shown.activity("shipping"):
        for number in range(500):
            shown.host(f"i-{number:03}", "Success" if number < 480 else "InProgress")
        shown.host("i-490", "Failed")
        lines = live_text(shown).splitlines()
    assert lines == [
        "shipping",
        "  i-490 Failed",
        "  i-480 InProgress",
        "  i-481 InProgress",
        "  500 hosts: 480 Success, 19 InProgress, 1 Failed",
    ]


def test_no_color_means_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    shown = Console(out=Terminal(), err=Terminal())
    with shown.activity("shipping"):
        shown.host("i-1", "Pending")
    assert "Pending" in written(shown.err)
    assert not re.search(r"\x1b\[[0-9;]*[1-9][0-9;]*m", written(shown.err))
