"""The documents that cross the boundary of the compiler's process."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from artifacts import canonical
from artifacts.canonical import Fields
from artifacts.errors import BadRequest
from artifacts.manifest import Parity

DEFAULT_ATOL = 1e-3
DEFAULT_ACCURACY_DROP = 0.01  # a point in a hundred


class Method(str, Enum):  # noqa: UP042 - artifacts/ runs on Python 3.10
    """How TorchScript is made."""

    AUTO = "auto"
    SCRIPT = "script"
    TRACE = "trace"


class Lanes(str, Enum):  # noqa: UP042 - artifacts/ runs on Python 3.10
    """How many ways of making the program are tried."""

    QUICK = "quick"  # plain and frozen TorchScript: seconds
    ALL = "all"  # also other layouts and types, and machine code: a minute or two


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileRequest:
    """One model for one target."""

    model: str
    inputs: tuple[str, ...]
    target: str
    out_dir: Path
    method: Method = Method.AUTO
    atol: float = DEFAULT_ATOL
    stand_in: bool = False  # a CPU program for an accelerator's emulated host
    name: str = ""  # empty: derived from the model
    lanes: Lanes = Lanes.QUICK
    pads: tuple[str, ...] = ()  # name=value: what inputs are filled up with to the next length
    flags: tuple[str, ...] = ()  # name=value, of artifacts.compile.flags: said to a Neuron compiler
    labels: str = ""  # a file of labelled examples; empty: no accuracy gate
    max_accuracy_drop: float = DEFAULT_ACCURACY_DROP
    cache: bool = True  # an unchanged compile may be taken from the cache

    def to_json(self) -> bytes:
        """Return the request as canonical JSON."""
        return canonical.encode(
            {
                "model": self.model,
                "inputs": list(self.inputs),
                "target": self.target,
                "out_dir": str(self.out_dir),
                "method": self.method.value,
                "atol": self.atol,
                "stand_in": self.stand_in,
                "name": self.name,
                "lanes": self.lanes.value,
                "pads": list(self.pads),
                "flags": list(self.flags),
                "labels": self.labels,
                "max_accuracy_drop": self.max_accuracy_drop,
                "cache": self.cache,
            }
        )

    @classmethod
    def from_json(cls, data: bytes) -> CompileRequest:
        """Read what `to_json` wrote; raises BadRequest."""
        fields = Fields.parse(data, "compile request")
        request = cls(
            model=fields.text("model"),
            inputs=tuple(str(spec) for spec in fields.array("inputs")),
            target=fields.text("target"),
            out_dir=Path(fields.text("out_dir")),
            method=_method(fields.text("method")),
            atol=fields.number("atol"),
            stand_in=fields.boolean("stand_in"),
            name=fields.text("name"),
            lanes=_lanes(fields.text("lanes")),
            pads=tuple(str(pad) for pad in fields.array("pads")),
            flags=tuple(str(flag) for flag in fields.array("flags")),
            labels=fields.optional_text("labels"),
            max_accuracy_drop=fields.number("max_accuracy_drop"),
            cache=fields.boolean("cache"),
        )
        fields.finish()
        return request


def _method(text: str) -> Method:
    try:
        return Method(text)
    except ValueError as error:
        raise BadRequest(f"There is no method {text!r}.", "Use auto, script or trace.") from error


def _lanes(text: str) -> Lanes:
    try:
        return Lanes(text)
    except ValueError as error:
        raise BadRequest(f"There are no lanes {text!r}.", "Use quick or all.") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneReport:
    """One way of making the program: how fast, and whether its answers are right."""

    lane: str
    ms: float | None  # median per request on one thread of the compiling machine; None: not timed
    passed: bool
    reason: str = ""
    accuracy: float | None = None  # share of the labelled examples that is right; None: there are none

    def as_document(self) -> dict[str, Any]:
        """Return the row as JSON members."""
        return asdict(self)

    @classmethod
    def from_document(cls, value: object) -> LaneReport:
        """Read what `as_document` wrote; raises BadRequest."""
        fields = Fields(value, "lane")
        report = cls(
            lane=fields.text("lane"),
            ms=fields.optional_number("ms"),
            passed=fields.boolean("passed"),
            reason=fields.text("reason"),
            accuracy=fields.optional_number("accuracy"),
        )
        fields.finish()
        return report


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileResult:
    """A finished artifact and the evidence for it."""

    artifact: Path
    digest: str  # of the manifest
    name: str
    target: str
    lane: str
    stand_in: bool
    parity: Parity
    lanes: tuple[LaneReport, ...]
    warnings: tuple[str, ...] = ()

    def as_document(self) -> dict[str, Any]:
        """Return the result as JSON members, `ok` among them."""
        return {
            "ok": True,
            "artifact": str(self.artifact),
            "digest": self.digest,
            "name": self.name,
            "target": self.target,
            "lane": self.lane,
            "stand_in": self.stand_in,
            "parity": self.parity.as_document(),
            "lanes": [lane.as_document() for lane in self.lanes],
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_document(cls, value: object) -> CompileResult:
        """Read what `as_document` wrote; raises BadRequest."""
        fields = Fields(value, "compile result")
        fields.boolean("ok")
        result = cls(
            artifact=Path(fields.text("artifact")),
            digest=fields.text("digest"),
            name=fields.text("name"),
            target=fields.text("target"),
            lane=fields.text("lane"),
            stand_in=fields.boolean("stand_in"),
            parity=Parity.from_document(fields.mapping("parity")),
            lanes=tuple(LaneReport.from_document(lane) for lane in fields.array("lanes")),
            warnings=tuple(str(warning) for warning in fields.array("warnings")),
        )
        fields.finish()
        return result
