"""The lock document of a wheelhouse: which wheels make a host's environment, each by its SHA-256.

The tool writes it (`provisioning.wheelhouse`), the bucket holds it under its own digest, and a host installs
nothing that is not in it. Reading is strict: a file name is a wheel's (PEP 427) and can leave no directory.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from artifacts import canonical
from artifacts.canonical import SHA256_HEX, Fields
from artifacts.errors import BadRequest

FORMAT = 1
INSTALLER = "pip"  # travels with the others: an image's Python may come without it
MOST_WHEELS = 200
MOST_LOCK_BYTES = 1 << 20  # a wheel takes a few hundred bytes of the lock document
WHEELS = "artifacts/wheels/"  # what the keys of wheels begin with
_FILENAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+!]*(?:-[A-Za-z0-9_.+!]+){4,5}\.whl")
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_PYTHON = re.compile(r"3\.[0-9]{1,2}")
_ARCHITECTURE = re.compile(r"[a-z0-9_]{1,20}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """One wheel: its file name, its SHA-256 and its size in bytes."""

    filename: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """The distribution's name, normalised (PEP 503)."""
        return re.sub(r"[-_.]+", "-", self.filename.split("-")[0]).lower()

    @property
    def version(self) -> str:
        """The version as the file name spells it: a local part after `+`."""
        return self.filename.split("-")[1].replace("_", "+", 1)

    @property
    def key(self) -> str:
        """The object's key in the deployment's bucket."""
        return f"{WHEELS}{self.sha256}.whl"

    def as_document(self) -> dict[str, Any]:
        """Return the wheel as JSON members."""
        return {"filename": self.filename, "sha256": self.sha256, "size": self.size}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheelhouse:
    """The wheels of one environment, and the hosts it is for."""

    pythons: tuple[str, ...]  # "3.11": the host's Python must be one of these
    architecture: str  # as `platform.machine()` spells it
    beside: bool  # whether the packages of the image's own interpreter stay visible underneath
    imports: tuple[str, ...]  # modules that must import before the environment counts as made
    wheels: tuple[Wheel, ...]

    @property
    def digest(self) -> str:
        """The SHA-256 that names the wheelhouse."""
        return canonical.sha256(self.to_json())

    @property
    def key(self) -> str:
        """The key of the lock document in the deployment's bucket."""
        return wheelhouse_key(self.digest)

    @property
    def size(self) -> int:
        """Bytes of all wheels."""
        return sum(wheel.size for wheel in self.wheels)

    def to_json(self) -> bytes:
        """Return the canonical bytes of the document."""
        return canonical.encode(
            {
                "format": FORMAT,
                "pythons": list(self.pythons),
                "architecture": self.architecture,
                "beside": self.beside,
                "imports": list(self.imports),
                "wheels": [wheel.as_document() for wheel in self.wheels],
            }
        )

    @classmethod
    def from_json(cls, data: bytes) -> Wheelhouse:
        """Read what `to_json` wrote; raises BadRequest."""
        fields = Fields.parse(data, "wheelhouse")
        if fields.integer("format") != FORMAT:
            raise BadRequest("The wheelhouse has another format than this version reads.")
        wheelhouse = cls(
            pythons=_texts(fields, "pythons", _PYTHON),
            architecture=fields.text("architecture", _ARCHITECTURE),
            beside=fields.boolean("beside"),
            imports=_texts(fields, "imports", _MODULE),
            wheels=tuple(_wheel(value) for value in fields.array("wheels")),
        )
        fields.finish()
        _refuse_odd(wheelhouse)
        return wheelhouse


def wheelhouse_key(digest: str) -> str:
    """Return the key of the lock document that has this digest."""
    return f"artifacts/wheelhouses/{digest}.json"


def requirements_text(wheelhouse: Wheelhouse) -> str:
    """Return pip's requirements in hash-checking mode: every version pinned, every file by its SHA-256."""
    hashes: dict[tuple[str, str], list[str]] = {}
    for wheel in wheelhouse.wheels:
        if wheel.name != INSTALLER:
            hashes.setdefault((wheel.name, wheel.version), []).append(f"--hash=sha256:{wheel.sha256}")
    return "".join(f"{name}=={version} {' '.join(each)}\n" for (name, version), each in hashes.items())


def _wheel(value: object) -> Wheel:
    fields = Fields(value, "wheel")
    wheel = Wheel(
        filename=fields.text("filename", _FILENAME),
        sha256=fields.text("sha256", SHA256_HEX),
        size=fields.integer("size"),
    )
    fields.finish()
    return wheel


def _texts(fields: Fields, name: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
    values = fields.array(name)
    if not all(isinstance(value, str) and pattern.fullmatch(value) for value in values):
        raise BadRequest(f"{name!r} of the wheelhouse is not a list of the form {pattern.pattern}.")
    return values


def _refuse_odd(wheelhouse: Wheelhouse) -> None:
    """Raise BadRequest for what no tool of ours writes."""
    names = [wheel.filename for wheel in wheelhouse.wheels]
    if len(set(names)) < len(names) or len(names) > MOST_WHEELS:
        raise BadRequest("The wheelhouse names a wheel twice, or too many of them.")
    if not any(wheel.name == INSTALLER for wheel in wheelhouse.wheels) or not wheelhouse.pythons:
        raise BadRequest(f"The wheelhouse lacks {INSTALLER}, or the Pythons it is for.")
