"""The one place where errors become messages and exit codes.

A message is a fact, a hint is a remedy. Errors we know end with their family's exit code and no
traceback; anything else is a bug in the tool, exits 1 and shows where it happened.
"""

from __future__ import annotations

import errno
import json
import sys
import tempfile
import traceback
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import click

from artifacts.errors import AmazoneiError, BadRequest
from provisioning.cli.console import Console, discard
from provisioning.cli.interruption import ended_like_ctrl_c, left_going
from provisioning.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE = 2
# What a shell reports for a program that its reader (`| head`) left.
READER_GONE = 128 + 13
# What the machine, not the tool, refuses: a file that cannot be read or written, a full disk.
REFUSALS = frozenset(
    {
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT),
        *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EMFILE),
    }
)

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def run(command: click.Command, arguments: Sequence[str], *, prog_name: str) -> int:
    """Run the command and return its exit code; nothing escapes."""
    with ended_like_ctrl_c():
        try:
            result = command.main(list(arguments), prog_name=prog_name, standalone_mode=False)
            sys.stdout.flush()
        except SystemExit as ending:  # click's own end of a broken pipe
            return _reader_gone() if ending.code else 0
        except BrokenPipeError:
            return _reader_gone()
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the boundary: a stranger is a bug
            return _fail(error, arguments)
    return result if isinstance(result, int) else 0


def wants_json(arguments: Sequence[str]) -> bool:
    """Return whether the arguments ask for JSON, readable even when the rest of them is wrong."""
    return "--output=json" in arguments or ("--output", "json") in pairwise(arguments)


def _fail(error: BaseException, arguments: Sequence[str]) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return USAGE
    known = _translated(error)
    if known is None or "--debug" in arguments:
        traceback.print_exception(error, file=sys.stderr)
    if known is None:
        hint = "This is a bug in amazonei: please report it with the traceback above."
        document = {"code": "bug", "message": f"{type(error).__name__}: {error}", "hint": hint}
    else:
        document = known.as_document()
    _show(document, as_json=wants_json(arguments))
    return 1 if known is None else known.exit_code


def _show(document: dict[str, Any], *, as_json: bool) -> None:
    try:
        if as_json:
            print(json.dumps({"error": document}, indent=2), flush=True)
        else:
            Console().complain(document)
    except BrokenPipeError:
        _reader_gone()


def _translated(error: BaseException) -> AmazoneiError | None:
    """Return the error as one of ours, or None when it is a bug."""
    if isinstance(error, AmazoneiError):
        return error
    if isinstance(error, click.ClickException):
        return _usage_error(error)
    # click turns Ctrl-C into the same Abort as a declined question; the cause tells them apart.
    interruption = error if isinstance(error, KeyboardInterrupt) else error.__cause__
    if isinstance(interruption, KeyboardInterrupt):
        hint = (
            "Run the same command again to go on; `amazonei status` shows what exists, `amazonei teardown` "
        )
        return Interrupted("\n".join(["Interrupted.", *left_going(interruption)]), f"{hint}removes it.")
    if isinstance(error, click.exceptions.Abort):
        return BadRequest("Not confirmed; nothing was done.", "Pass --yes to go on without the question.")
    return _refused_by_the_machine(error)


def _refused_by_the_machine(error: BaseException) -> AmazoneiError | None:
    if not (isinstance(error, OSError) and error.errno in REFUSALS):
        return None
    if error.filename is not None:
        return BadRequest(f"{error.filename}: {error.strerror}.", "Mend that path, or choose another one.")
    if error.errno in FULL:  # writing to an open file does not say which
        place = tempfile.gettempdir()
        return BadRequest(f"{error.strerror}.", f"Make room in {place}, or where the result goes.")
    return None


def _usage_error(error: click.ClickException) -> BadRequest:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "amazonei"
    return BadRequest(error.format_message(), f"See: {path} --help")


def _reader_gone() -> int:
    """Leave quietly when nobody reads the answer."""
    if sys.__stdout__ is not None:
        discard(sys.__stdout__)
    return READER_GONE
