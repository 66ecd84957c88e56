"""What an artifact says about itself: the identity of a compiled model.

The identity is the SHA-256 of the manifest's canonical JSON. Neither clock, host nor path enters it; who
made the artifact, when, and what was measured lie beside the archive (`artifacts.archive.evidence_path`).
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

from artifacts import canonical
from artifacts.canonical import SHA256_HEX, Fields
from artifacts.errors import ArtifactRefused, BadRequest

FORMAT = "amazonei-artifact/2"
DTYPE_BYTES = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
}
MAX_TENSOR_BYTES = 1 << 30
SPEC_HINT = "A SPEC is [name=]dtype[shape][:low..high], for example input_ids=int64[1,128]:0..30522."

_NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"
_SPEC = re.compile(
    rf"(?:(?P<name>[A-Za-z_]\w*)=)?(?P<dtype>[a-z]+\d*)\[(?P<shape>[\d,\s]*)\]"
    rf"(?::(?P<low>{_NUMBER})\.\.(?P<high>{_NUMBER}))?"
)
_NAME = re.compile(r"[A-Za-z_]\w{0,99}")
_PLAIN = re.compile(r"[A-Za-z0-9_.+/-]{1,100}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One tensor that goes in or comes out.

    Random values lie in [low, high). Without a range they are standard normal for floats, 0..255 for
    uint8 and 0..1 for other integers, which every embedding table and mask accepts.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    low: float | None = None
    high: float | None = None

    @classmethod
    def parse(cls, text: str, default_name: str = "input0") -> TensorSpec:
        """Read `[name=]dtype[shape][:low..high]`; raises BadRequest."""
        match = _SPEC.fullmatch(text.strip())
        if match is None:
            raise BadRequest(f"{text!r} is not an input SPEC.", SPEC_HINT)
        low, high = match["low"], match["high"]
        spec = cls(
            name=match["name"] or default_name,
            dtype=match["dtype"],
            shape=_parse_shape(match["shape"], text),
            low=None if low is None else float(low),
            high=None if high is None else float(high),
        )
        spec.check()
        return spec

    def check(self) -> None:
        """Raise BadRequest when no tensor can be like this."""
        if self.dtype not in DTYPE_BYTES:
            raise BadRequest(f"{self.dtype!r} is not a dtype.", f"Known dtypes: {', '.join(DTYPE_BYTES)}.")
        if any(size < 1 for size in self.shape):
            raise BadRequest(f"Input {self.name} has a dimension below 1.", SPEC_HINT)
        if self.bytes > MAX_TENSOR_BYTES:
            raise BadRequest(f"Input {self.name} would take {self.bytes} bytes.", "The limit is 1 GiB.")
        self._check_range()

    def _check_range(self) -> None:
        if self.low is None or self.high is None:
            if self.low is not None or self.high is not None:
                raise BadRequest(f"The range of input {self.name} has one end only.", SPEC_HINT)
            return
        if not self.low < self.high:
            raise BadRequest(f"The range of input {self.name} is empty: {self.low} to {self.high}.")
        if "int" in self.dtype and not (self.low.is_integer() and self.high.is_integer()):
            raise BadRequest(f"The range of input {self.name} is not of whole numbers.", SPEC_HINT)

    @property
    def bytes(self) -> int:
        """Return the size of the raw tensor."""
        return prod(self.shape) * DTYPE_BYTES[self.dtype]

    def __str__(self) -> str:
        return f"{self.name}={self.dtype}[{','.join(map(str, self.shape))}]"

    def as_document(self) -> dict[str, Any]:
        """Return the spec as JSON members."""
        return {**asdict(self), "shape": list(self.shape)}

    @classmethod
    def from_document(cls, value: object) -> TensorSpec:
        """Read what `as_document` wrote; raises BadRequest."""
        fields = Fields(value, "tensor spec")
        spec = cls(
            name=fields.text("name", _NAME),
            dtype=fields.text("dtype"),
            shape=_whole_numbers(fields.array("shape")),
            low=fields.optional_number("low"),
            high=fields.optional_number("high"),
        )
        fields.finish()
        spec.check()
        return spec


def _parse_shape(text: str, spec: str) -> tuple[int, ...]:
    if not text.strip():
        return ()
    try:
        return tuple(int(size) for size in text.split(","))
    except ValueError as error:
        raise BadRequest(f"{spec!r} has a malformed shape.", SPEC_HINT) from error


def _whole_numbers(values: tuple[Any, ...]) -> tuple[int, ...]:
    if not all(type(value) is int for value in values):
        raise BadRequest("A shape holds something other than whole numbers.")
    return values


def parse_specs(texts: tuple[str, ...]) -> tuple[TensorSpec, ...]:
    """Read all input SPECs; unnamed ones are called input0, input1, … by position."""
    specs = tuple(TensorSpec.parse(text, f"input{index}") for index, text in enumerate(texts))
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise BadRequest(f"Two inputs are called {name!r}.", "Give each SPEC a name of its own.")
    return specs


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

    def as_document(self) -> dict[str, Any]:
        """Return the versions as JSON members."""
        return asdict(self)

    @classmethod
    def from_document(cls, value: object) -> Toolchain:
        """Read what `as_document` wrote; raises BadRequest."""
        fields = Fields(value, "toolchain")
        names = ("torch", "python", "compiler", "compiler_version")
        toolchain = cls(**{name: fields.text(name, _PLAIN) for name in names})
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
