"""The one place where errors become messages and exit codes.

A message is a fact, a hint is a remedy. Errors we know end with their family's exit code and no
traceback; anything else is a bug in the tool, exits 1 and shows where it happened.
"""

from __future__ import annotations

import json
import sys
import traceback
from typing import TYPE_CHECKING, Any

import click

from artifacts.errors import AmazoneiError, BadRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 75


def run(command: click.Command, arguments: Sequence[str], *, prog_name: str) -> int:
    """Run the command and return its exit code; nothing escapes."""
    as_json = wants_json(arguments)
    debug = "--debug" in arguments
    try:
        result = command.main(list(arguments), prog_name=prog_name, standalone_mode=False)
    except (click.ClickException, click.exceptions.Abort, AmazoneiError) as error:
        return _fail(_translated(error), as_json=as_json, debug=debug)
    except KeyboardInterrupt:
        return _interrupted(as_json=as_json)
    except Exception as error:  # noqa: BLE001 - the boundary: an unknown error is a bug and says so
        return _bug(error, as_json=as_json)
    return result if isinstance(result, int) else 0


def wants_json(arguments: Sequence[str]) -> bool:
    """Return whether the arguments ask for JSON, readable even when the rest of them is wrong."""
    pairs = zip(arguments, [*arguments[1:], ""], strict=True)
    return any(a == "--output=json" or (a == "--output" and b == "json") for a, b in pairs)


def _translated(error: click.ClickException | click.exceptions.Abort | AmazoneiError) -> AmazoneiError:
    if isinstance(error, click.ClickException):
        return _usage_error(error)
    if isinstance(error, click.exceptions.Abort):
        return BadRequest("Not confirmed; nothing was done.", "Pass --yes to go on without the question.")
    return error


def _usage_error(error: click.ClickException) -> BadRequest:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "amazonei"
    return BadRequest(error.format_message(), f"See: {path} --help")


def _interrupted(*, as_json: bool) -> int:
    hint = "Run the same command again to go on; `amazonei status` shows what exists, `teardown` removes it."
    _show({"code": "interrupted", "message": "Interrupted.", "hint": hint}, as_json=as_json)
    return INTERRUPTED


def _fail(error: AmazoneiError, *, as_json: bool, debug: bool) -> int:
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    _show(error.as_document(), as_json=as_json)
    return error.exit_code


def _show(document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"error": document}, indent=2), flush=True)
        return
    print(f"error: {document['message']}", file=sys.stderr)
    if document["hint"]:
        print(f"hint: {document['hint']}", file=sys.stderr, flush=True)


def _bug(error: Exception, *, as_json: bool) -> int:
    traceback.print_exception(error, file=sys.stderr)
    hint = "This is a bug in amazonei: please report it with the traceback above."
    document = {"code": "bug", "message": f"{type(error).__name__}: {error}", "hint": hint}
    _show(document, as_json=as_json)
    return 1
