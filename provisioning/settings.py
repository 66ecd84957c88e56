"""Who is asking, where, and for which deployment: resolved once, passed down whole."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


class Output(StrEnum):
    """The form of the answer on stdout."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What every command knows: command line over environment over configuration file over default."""

    name: str
    region: str
    profile: str | None = None
    endpoint_url: str | None = None
    emulate: bool = False
    output: Output = Output.TEXT
    debug: bool = False
    config: Path | None = None

    @property
    def emulated(self) -> bool:
        """Whether nothing of this can reach AWS: the embedded AWS, or an endpoint on this machine."""
        return self.emulate or is_loopback(self.endpoint_url)

    @property
    def work_dir(self) -> Path:
        """Where the deployment's artifacts, results and report are written unless told otherwise."""
        return Path("build") / "amazonei" / self.name

    def of(self, name: str) -> Settings:
        """Return the same settings for another deployment."""
        return replace(self, name=name)

    def command(self, words: str) -> str:
        """Return the command line a person types to run `words` against this same deployment."""
        parts = ["amazonei", *shlex.split(words), "--name", self.name, "--region", self.region]
        if self.emulate:
            parts.append("--emulate")
        if self.profile:
            parts += ["--profile", self.profile]
        if self.endpoint_url and not self.emulate:
            parts += ["--endpoint-url", self.endpoint_url]
        return shlex.join(parts)


def is_url(text: str) -> bool:
    """Return whether the text is an HTTP URL with a host in it."""
    parts = urlsplit(text)
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def is_loopback(url: str | None) -> bool:
    """Return whether the URL names this machine."""
    return url is not None and (urlsplit(url).hostname or "") in LOOPBACK_HOSTS
