"""What an artifact says about itself: the identity of a compiled model.

The identity is the SHA-256 of the manifest's canonical JSON. Neither clock, host nor path enters it; who
made the artifact, when, and what was measured lie beside the archive (`artifacts.archive.evidence_path`).
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from artifacts import canonical
from artifacts.canonical import SHA256_HEX, Fields
from artifacts.errors import ArtifactRefused, BadRequest
from artifacts.specs import TensorSpec

FORMAT = "amazonei-artifact/2"
_FLAG = re.compile(r"[a-z][a-z0-9-]{0,60}=[A-Za-z0-9_.-]{1,40}")
_PLAIN = re.compile(r"[A-Za-z0-9_.+/-]{1,100}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDigest:
    """A file of the archive, by content."""

    path: str
    bytes: int
    sha256: str

    def as_document(self) -> dict[str, Any]:
        """Return the digest as JSON members."""
        return asdict(self)

    @classmethod
    def from_document(cls, value: object) -> FileDigest:
        """Read what `as_document` wrote; raises BadRequest."""
        fields = Fields(value, "file digest")
        digest = cls(
            path=fields.text("path", _PLAIN),
            bytes=fields.integer("bytes"),
            sha256=fields.text("sha256", SHA256_HEX),
        )
        fields.finish()
        return digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """What compiled the program: versions, never the machine."""

    torch: str
    python: str  # major.minor
    compiler: str
    compiler_version: str
    flags: tuple[str, ...] = ()  # name=value, as they were said to the compiler

    def as_document(self) -> dict[str, Any]:
        """Return the versions as JSON members, and what was said to the compiler if anything was."""
        document: dict[str, Any] = asdict(self) | {"flags": list(self.flags)}
        return document if self.flags else {name: document[name] for name in document if name != "flags"}

    @classmethod
    def from_document(cls, value: object) -> Toolchain:
        """Read what `as_document` wrote; raises BadRequest."""
        fields = Fields(value, "toolchain")
        names = ("torch", "python", "compiler", "compiler_version")
        flags = fields.optional_array("flags")
        if not all(isinstance(flag, str) and _FLAG.fullmatch(flag) for flag in flags):
            raise BadRequest("'flags' of the toolchain holds something other than name=value.")
        toolchain = cls(**{name: fields.text(name, _PLAIN) for name in names}, flags=flags)
        fields.finish()
        return toolchain


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How the compiled program compared with the eager model on inputs it was not made with."""

    max_abs_diff: float
    atol: float
    passed: bool
    inputs_checked: int

    def as_document(self) -> dict[str, Any]:
        """Return the comparison as JSON members."""
        return asdict(self)

    @classmethod
    def from_document(cls, value: object) -> Parity:
        """Read what `as_document` wrote; raises BadRequest."""
        fields = Fields(value, "parity")
        parity = cls(
            max_abs_diff=fields.number("max_abs_diff"),
            atol=fields.number("atol"),
            passed=fields.boolean("passed"),
            inputs_checked=fields.integer("inputs_checked"),
        )
        fields.finish()
        return parity


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The identity of an artifact, and everything a host needs to serve it."""

    format: str = FORMAT
    name: str
    target: str
    lane: str
    stand_in: bool  # a CPU program in place of an accelerator's, for emulated hosts only
    program: str  # how `program.pt` is loaded: "torchscript", "torchscript-eia" or "aotinductor"
    preparation: str  # what is done to it after loading, of artifacts.serve.program.PREPARATIONS
    atol: float  # a host's answer to the golden request may differ from eager by this much
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    toolchain: Toolchain
    requires: tuple[str, ...] = ()  # instruction sets of the processor, by Linux's names
    files: tuple[FileDigest, ...]

    def canonical(self) -> bytes:
        """Return the canonical JSON."""
        return canonical.encode(
            {
                "format": self.format,
                "name": self.name,
                "target": self.target,
                "lane": self.lane,
                "stand_in": self.stand_in,
                "program": self.program,
                "preparation": self.preparation,
                "atol": self.atol,
                "inputs": [spec.as_document() for spec in self.inputs],
                "outputs": [spec.as_document() for spec in self.outputs],
                "toolchain": self.toolchain.as_document(),
                "requires": list(self.requires),
                "files": [file.as_document() for file in self.files],
            }
        )

    @property
    def digest(self) -> str:
        """Return the identity: the SHA-256 of the canonical JSON."""
        return canonical.sha256(self.canonical())

    @classmethod
    def from_json(cls, data: bytes) -> Manifest:
        """Read a manifest; raises ArtifactRefused unless the bytes are exactly its canonical JSON."""
        try:
            manifest = _read(Fields.parse(data, "manifest"))
        except BadRequest as error:
            raise ArtifactRefused(error.message, "Compile the model again.") from error
        if manifest.canonical() != data:
            raise ArtifactRefused("The manifest is not in canonical form.", "Compile the model again.")
        return manifest


def _plain_texts(values: tuple[Any, ...], name: str) -> tuple[str, ...]:
    if not all(isinstance(value, str) and _PLAIN.fullmatch(value) for value in values):
        raise BadRequest(f"{name!r} of the manifest holds something other than plain words.")
    return values


def _read(fields: Fields) -> Manifest:
    version = fields.text("format")
    if version != FORMAT:
        raise BadRequest(f"The artifact has format {version!r}; this tool reads {FORMAT!r}.")
    manifest = Manifest(
        name=fields.text("name", _PLAIN),
        target=fields.text("target", _PLAIN),
        lane=fields.text("lane", _PLAIN),
        stand_in=fields.boolean("stand_in"),
        program=fields.text("program", _PLAIN),
        preparation=fields.text("preparation", _PLAIN),
        atol=fields.number("atol"),
        inputs=tuple(TensorSpec.from_document(spec) for spec in fields.array("inputs")),
        outputs=tuple(TensorSpec.from_document(spec) for spec in fields.array("outputs")),
        toolchain=Toolchain.from_document(fields.mapping("toolchain")),
        requires=_plain_texts(fields.array("requires"), "requires"),
        files=tuple(FileDigest.from_document(file) for file in fields.array("files")),
    )
    fields.finish()
    return manifest
