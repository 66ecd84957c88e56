"""What a person sees: progress and messages on stderr, the answer on stdout.

On a terminal, work in progress is one live line; in a pipe or a log it is plain lines. rich is imported
only when something is drawn, so that `--help` does not pay for it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from provisioning.cli.board import host_lines
from provisioning.settings import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rich.status import Status
    from rich.text import Text

    from artifacts.errors import AmazoneiError

# A pipe has no width; wide enough that no cell of our tables is ever cut there.
PIPE_WIDTH = 220
# The live line's spinner and the space after it; the last column stays free, or some terminals wrap.
SPINNER_WIDTH = 3
ROWS_LEFT_FREE = 3  # of the terminal's height: the live line, a message above it, the prompt
GAP = 3  # columns between two cells of a table
NARROWEST_PROSE = 16


def discard(stream: TextIO) -> None:
    """Send what is still written to a stream, its buffer included, nowhere: its reader has gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


@dataclass(slots=True)
class Console:
    """The two streams of a command; `clock` returns seconds and exists for tests."""

    output: Output = Output.TEXT
    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)
    clock: Callable[[], float] = time.monotonic
    _live: Status | None = None
    _title: str = ""
    _latest: str = ""
    _hosts: dict[str, str] = field(default_factory=dict)

    def say(self, text: str) -> None:
        """Write one message line to stderr, above the live line when there is one.

        Nobody reading it is no reason to stop: a job whose log was cut off must still be taken down.
        """
        try:
            if self._live is None:
                print(text, file=self.err, flush=True)
            else:
                self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
        except BrokenPipeError:
            discard(self.err)

    def warn(self, text: str) -> None:
        """Write a warning line to stderr."""
        self.say(f"warning: {text}")

    def complain(self, problem: Mapping[str, str]) -> None:
        """Write an error's message and hint to stderr."""
        self.say(f"error: {problem['message']}")
        if problem["hint"]:
            self.say(f"hint: {problem['hint']}")

    def detail(self, text: str) -> None:
        """Report progress inside the current activity; what is blank is nothing to report."""
        if not text.strip():
            return
        if self._live is None:
            self.say(f"  {text}")
        else:
            self._latest = text
            self._redraw()

    def host(self, host: str, state: str) -> None:
        """Report what a host is doing; on a terminal each has a line of its own, which changes in place."""
        if self._live is None:
            self.detail(f"{host}: {state}")
        else:
            self._hosts[host] = state
            self._redraw()

    def _redraw(self) -> None:
        """Show the activity, its latest detail, and below as many hosts as there is room for."""
        from rich.text import Text

        if self._live is None:
            return
        first = f"{self._title}: {self._latest}" if self._latest else self._title
        room = max(self._live.console.height - ROWS_LEFT_FREE, 1)
        lines = [first, *(f"  {line}" for line in host_lines(self._hosts, room))]
        self._live.update(Text("\n").join(map(self._line, lines)))

    def _line(self, text: str) -> Text:
        """Return the text with its blanks closed up, cut to the terminal's width beside the spinner."""
        from rich.text import Text

        indent = text[: len(text) - len(text.lstrip())]
        line = Text(indent + " ".join(text.split()))
        if self._live is not None:
            line.truncate(max(self._live.console.width - SPINNER_WIDTH, 1), overflow="ellipsis")
        return line

    @contextmanager
    def activity(self, title: str) -> Iterator[Console]:
        """Show that `title` is going on, and how long it took when it is done."""
        started = self.clock()
        with self._showing(title):
            yield self
        self.say(f"{title}: done in {self.clock() - started:.1f} s")

    @contextmanager
    def _showing(self, title: str) -> Iterator[None]:
        if not self.err.isatty() or self._live is not None:
            self.say(f"{title} ...")
            yield
            return
        from rich.console import Console as RichConsole

        self._live, self._title, self._latest = RichConsole(file=self.err).status(""), title, ""
        self._hosts.clear()
        self._redraw()
        try:
            with self._live:
                yield
        finally:
            self._live = None

    def answer(
        self,
        document: dict[str, Any],
        text: str | Callable[[], str],
        problem: AmazoneiError | None = None,
    ) -> int:
        """Write the answer to stdout: the document as JSON, or the text for a person.

        An answer that is also a failure carries the problem; the exit code to end with is returned.
        """
        if problem is not None:
            document = document | {"error": problem.as_document()}
        if self.output is Output.JSON:
            body = json.dumps(document, indent=2, sort_keys=False)
        else:
            body = text() if callable(text) else text
        if body.strip():
            print(body.rstrip("\n"), file=self.out, flush=True)
        if problem is None:
            return 0
        self.complain(problem.as_document())
        return problem.exit_code

    def table(
        self, headings: Sequence[str], rows: Sequence[Sequence[str]], *, to_stderr: bool = False
    ) -> str:
        """Return the rows as a text table, or as records where the terminal is too narrow for one.

        No cell is ever cut: a price or an id without its end is worse than none.
        """
        from rich.console import Console as RichConsole

        stream = self.err if to_stderr else self.out
        width = RichConsole(file=stream).width if stream.isatty() else PIPE_WIDTH
        widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
        # The widest column is prose; it may wrap, the others are figures and names.
        spare = width - (sum(widths) - max(widths)) - GAP * (len(widths) - 1)
        if spare < min(max(widths), NARROWEST_PROSE):
            return "\n".join(_records(headings, rows))
        return _drawn(headings, rows, width, prose=widths.index(max(widths)))


def _drawn(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int, *, prose: int) -> str:
    from io import StringIO

    from rich.box import SIMPLE_HEAD
    from rich.console import Console as RichConsole
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for place, heading in enumerate(headings):
        table.add_column(heading, no_wrap=place != prose, overflow="fold")
    for row in rows:
        table.add_row(*row)
    buffer = StringIO()
    RichConsole(file=buffer, width=width, no_color=True, highlight=False).print(table, markup=False)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())


def _records(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in rows:
        yield row[0]
        yield from (f"  {name}: {cell}" for name, cell in zip(headings[1:], row[1:], strict=True) if cell)
