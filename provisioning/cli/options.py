"""The options every command takes, and how they become `Settings` and a `Console`.

Precedence: command line, environment, configuration file, default. click resolves the first two; the
last two are resolved here, because the file itself is named by an option.
"""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from artifacts.errors import BadRequest
from provisioning.cli.console import Console
from provisioning.settings import Output, Settings, is_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_NAME = "amazonei"
DEFAULT_CONFIG = Path("amazonei.toml")
EMULATED_REGION = "us-west-2"
ARTIFACT = click.Path(path_type=Path, dir_okay=False)


class Context:
    """What a command body receives: its settings, its console, and the configuration file's content."""

    def __init__(self, settings: Settings, console: Console, document: Mapping[str, Any]) -> None:
        self.settings = settings
        self.console = console
        self.document = document


_SHARED = (
    click.option("--region", envvar=["AWS_REGION", "AWS_DEFAULT_REGION"], help="AWS region, e.g. us-west-2."),
    click.option("--profile", envvar="AWS_PROFILE", help="Named profile of the AWS configuration files."),
    click.option("--endpoint-url", envvar="AWS_ENDPOINT_URL", help="Send AWS calls to this URL instead."),
    click.option("--emulate", is_flag=True, help="Use the embedded AWS on this machine (starts it)."),
    click.option("--name", help=f"Deployment name.  [default: {DEFAULT_NAME}]"),
    click.option("--output", type=click.Choice([o.value for o in Output]), default="text", show_default=True),
    click.option("--debug", is_flag=True, help="Show the traceback of an error on stderr."),
    click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        help=f"Configuration file.  [default: ./{DEFAULT_CONFIG}, when there is one]",
    ),
)
_SHARED_NAMES = ("region", "profile", "endpoint_url", "emulate", "name", "output", "debug", "config")


def shared_options(body: Callable[..., R]) -> Callable[..., R]:
    """Add the shared options to a command; its body gets a `Context` first instead of them."""

    @wraps(body)
    def with_context(*arguments: Any, **values: Any) -> R:
        shared = {name: values.pop(name) for name in _SHARED_NAMES}
        # `amazonei run job.toml` names its configuration file as its argument.
        shared["config"] = values.pop("configuration", None) or shared["config"]
        return body(make_context(shared), *arguments, **values)

    for option in reversed(_SHARED):
        with_context = option(with_context)
    return with_context


def make_context(values: Mapping[str, Any]) -> Context:
    """Resolve settings from option values and the configuration file they name."""
    from stacks.settings import text

    path = _config_path(values["config"])
    document = _read(path)
    emulate = bool(values["emulate"])
    settings = Settings(
        name=values["name"] or text(document, "name", "") or DEFAULT_NAME,
        region=values["region"] or text(document, "region", "") or _default_region(emulate=emulate),
        profile=values["profile"],
        endpoint_url=None if emulate else values["endpoint_url"],
        emulate=emulate,
        output=Output(values["output"]),
        debug=bool(values["debug"]),
        config=path,
    )
    _check(settings)
    return Context(settings, Console(output=settings.output), document)


def _check(settings: Settings) -> None:
    """Raise `BadRequest` for what can name no deployment, no region and no endpoint."""
    from stacks.spec import check_name, check_region

    check_name(settings.name)
    if settings.region:
        check_region(settings.region)
    url = settings.endpoint_url
    if url is not None and not is_url(url):
        raise BadRequest(f"{url!r} is not the URL of an endpoint.", "Write it like http://localhost:5000.")


def _config_path(given: Path | None) -> Path | None:
    if given is not None:
        return given
    return DEFAULT_CONFIG if DEFAULT_CONFIG.is_file() else None


def _read(path: Path | None) -> Mapping[str, Any]:
    if path is None:
        return {}
    from provisioning.config import check_keys
    from stacks.settings import read_document

    document = read_document(path)
    check_keys(document)
    return document


def _default_region(*, emulate: bool) -> str:
    # The embedded AWS bills nobody and is everywhere: any region will do. On AWS a guess could cost money,
    # so a command that needs a region says so (`require_region`).
    return EMULATED_REGION if emulate else ""


def require_region(settings: Settings) -> str:
    """Return the region, or raise `BadRequest` when none was given anywhere."""
    if not settings.region:
        raise BadRequest(
            "No region was given.", "Pass --region us-west-2, or set AWS_REGION, or region in amazonei.toml."
        )
    return settings.region
