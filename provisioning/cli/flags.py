"""The flags of the Neuron compilers as options of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click

from artifacts.compile.flags import FLAGS

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


def compiler_flags(body: Callable[P, R]) -> Callable[P, R]:
    """Add an option for each flag, by AWS's name; what it may be is checked with the target."""
    for flag in reversed(FLAGS.values()):
        # The values are checked where the configuration file's are: one check, one message.
        metavar = "|".join(flag.values) if flag.values else "NUMBER"
        body = click.option(f"--{flag.name}", metavar=metavar, help=f"{flag.compiler.value}: {flag.help}")(
            body
        )
    return body
