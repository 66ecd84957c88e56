"""What a person sees: progress and messages on stderr, the answer on stdout.

On a terminal, work in progress is one live line; in a pipe or a log it is plain lines. rich is imported
only when something is drawn, so that `--help` does not pay for it.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from provisioning.settings import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.status import Status

# A pipe has no width; wide enough that no cell of our tables is ever cut there.
PIPE_WIDTH = 220


@dataclass(slots=True)
class Console:
    """The two streams of a command; `clock` returns seconds and exists for tests."""

    output: Output = Output.TEXT
    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)
    clock: Callable[[], float] = time.monotonic
    _live: Status | None = None
    _title: str = ""

    def say(self, text: str) -> None:
        """Write one message line to stderr, above the live line when there is one."""
        if self._live is None:
            print(text, file=self.err, flush=True)
        else:
            self._live.console.print(text, markup=False, highlight=False)

    def warn(self, text: str) -> None:
        """Write a warning line to stderr."""
        self.say(f"warning: {text}")

    def detail(self, text: str) -> None:
        """Report progress inside the current activity."""
        if self._live is None:
            self.say(f"  {text}")
        else:
            from rich.markup import escape

            self._live.update(f"{escape(self._title)}: {escape(text)}")

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
        from rich.markup import escape

        with RichConsole(file=self.err).status(escape(title)) as live:
            self._live, self._title = live, title
            try:
                yield
            finally:
                self._live = None

    def answer(self, document: dict[str, Any], text: str | Callable[[], str]) -> None:
        """Write the answer to stdout: the document as JSON, or the text for a person."""
        if self.output is Output.JSON:
            body = json.dumps(document, indent=2, sort_keys=False)
        else:
            body = text() if callable(text) else text
        print(body.rstrip("\n"), file=self.out, flush=True)

    def table(
        self, headings: Sequence[str], rows: Sequence[Sequence[str]], *, to_stderr: bool = False
    ) -> str:
        """Return the rows as a text table that fits the terminal it is for."""
        from io import StringIO

        from rich.box import SIMPLE_HEAD
        from rich.console import Console as RichConsole
        from rich.table import Table

        stream = self.err if to_stderr else self.out
        table = Table(*headings, box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for row in rows:
            table.add_row(*row)
        buffer = StringIO()
        width = RichConsole(file=stream).width if stream.isatty() else PIPE_WIDTH
        RichConsole(file=buffer, width=width, no_color=True, highlight=False).print(table, markup=False)
        return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())
