"""`amazonei.toml`: what a job is, read once and checked whole.

The deployment part (name, region, ttl, network, targets) is parsed by `stacks.settings`, the same parser
`cdk deploy` uses; this module adds the model, the benchmark and the budget.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts.errors import BadRequest
from stacks.settings import KNOWN_KEYS, reject_unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

MODEL_KEYS = ("source", "inputs", "pads", "atol", "method", "lanes", "labels", "max_accuracy_drop")
BENCHMARK_KEYS = ("mode", "slo_ms", "percentile", "traffic_rps", "rate", "duration")
BUDGET_KEYS = ("max_usd", "email")
CACHE_KEYS = ("bucket", "prefix")
HOSTS_KEYS = ("torch_index",)
SIGNING_KEYS = ("sign_key", "public_key")
MODES = ("quick", "standard", "mlperf")
METHODS = ("auto", "script", "trace")
LANES = ("quick", "all")
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = re.compile("[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
DEFAULT_ATOL = 1e-3
DEFAULT_ACCURACY_DROP = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The model to compile: its source, its inputs, and how far its answers may be off."""

    source: str
    inputs: tuple[str, ...] = ()
    pads: tuple[str, ...] = ()  # name=value: what an input is filled up with to the next length
    atol: float = DEFAULT_ATOL
    method: str = "auto"
    lanes: str = ""  # empty: all, and for an emulated deployment the quick ones
    labels: str = ""  # a file of labelled examples; empty: no accuracy gate
    max_accuracy_drop: float = DEFAULT_ACCURACY_DROP


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkConfig:
    """How to measure: the mode, the latency limit in ms at a percentile, the traffic in requests/s."""

    mode: str = "quick"
    slo_ms: float | None = None
    percentile: float = 99.0
    traffic_rps: float | None = None
    rate: float | None = None
    duration_s: float | None = None

    def protocol_document(self) -> dict[str, Any]:
        """Return what `artifacts.measure` calls a protocol; the traffic is the ranking's, not the load's."""
        return {
            "mode": self.mode,
            "slo_ms": self.slo_ms,
            "percentile": self.percentile,
            "rate": self.rate,
            "duration_s": self.duration_s,
        }


def check_keys(document: Mapping[str, Any]) -> None:
    """Raise `BadRequest` for a key the file may not have, naming the nearest one it may."""
    reject_unknown(document, KNOWN_KEYS[""], "")
    sections = {
        "model": MODEL_KEYS,
        "benchmark": BENCHMARK_KEYS,
        "budget": BUDGET_KEYS,
        "signing": SIGNING_KEYS,
        "cache": CACHE_KEYS,
        "hosts": HOSTS_KEYS,
    }
    for name, known in sections.items():
        reject_unknown(_section(document, name), known, name)


def parse_torch_index(document: Mapping[str, Any], default: str) -> str:
    """Return the index that hosts' PyTorch comes from: empty for pip's own indices; or raise `BadRequest`."""
    index = _text(_section(document, "hosts"), "torch_index", default)
    if index and not index.startswith(("https://", "http://", "file://")):
        raise BadRequest(
            f"torch_index cannot be {index!r}.", 'Write torch_index = "https://..." under [hosts].'
        )
    return index


def parse_model(document: Mapping[str, Any]) -> ModelConfig:
    """Return the `[model]` section, or raise `BadRequest`."""
    section = _section(document, "model")
    reject_unknown(section, MODEL_KEYS, "model")
    if not section.get("source"):
        raise BadRequest(
            "No model is named.", 'Set source = "file.py:callable" under [model], or pass it on the line.'
        )
    return ModelConfig(
        source=_text(section, "source", ""),
        inputs=_texts(section, "inputs"),
        pads=_texts(section, "pads"),
        atol=_number(section, "atol", DEFAULT_ATOL, at_least=0.0),
        method=_choice(section, "method", "auto", METHODS),
        lanes=_choice(section, "lanes", "", LANES) if "lanes" in section else "",
        labels=_text(section, "labels", ""),
        max_accuracy_drop=_number(section, "max_accuracy_drop", DEFAULT_ACCURACY_DROP, at_least=0.0),
    )


def parse_benchmark(document: Mapping[str, Any]) -> BenchmarkConfig:
    """Return the `[benchmark]` section with defaults filled in, or raise `BadRequest`."""
    section = _section(document, "benchmark")
    reject_unknown(section, BENCHMARK_KEYS, "benchmark")
    return BenchmarkConfig(
        mode=_choice(section, "mode", "quick", MODES),
        slo_ms=_optional(section, "slo_ms"),
        percentile=_number(section, "percentile", 99.0, at_least=1.0),
        traffic_rps=_optional(section, "traffic_rps"),
        rate=_optional(section, "rate"),
        duration_s=_optional(section, "duration"),
    )


def parse_budget(document: Mapping[str, Any]) -> float | None:
    """Return the most a run may spend in USD, or None when no limit is set."""
    section = _section(document, "budget")
    reject_unknown(section, BUDGET_KEYS, "budget")
    return _optional(section, "max_usd")


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningConfig:
    """Files of keys: the private one that signs what is compiled, the public one that must have signed."""

    sign_key: Path | None = None
    public_key: Path | None = None


def parse_signing(document: Mapping[str, Any]) -> SigningConfig:
    """Return the `[signing]` section, or raise `BadRequest`; relative paths are of the working directory."""
    section = _section(document, "signing")
    reject_unknown(section, SIGNING_KEYS, "signing")
    paths = {key: _text(section, key, "") for key in SIGNING_KEYS}
    return SigningConfig(**{key: Path(path).expanduser() if path else None for key, path in paths.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheConfig:
    """A bucket of the user's own for what compiles leave behind; the prefix is empty or ends with a slash."""

    bucket: str
    prefix: str = ""


def parse_cache(document: Mapping[str, Any], given: str | None = None) -> CacheConfig | None:
    """Return what was given as BUCKET[/PREFIX], else the `[cache]` section's; or raise `BadRequest`."""
    section = _section(document, "cache")
    reject_unknown(section, CACHE_KEYS, "cache")
    bucket, prefix = _text(section, "bucket", ""), _text(section, "prefix", "")
    if given:
        bucket, _, prefix = given.removeprefix("s3://").partition("/")
    if not bucket and not prefix:
        return None
    if not _BUCKET.fullmatch(bucket):
        raise BadRequest(
            f"The bucket of the cache cannot be called {bucket!r}.",
            'Write bucket = "your-bucket" under [cache], or --cache-bucket your-bucket/prefix.',
        )
    prefix = prefix.strip("/")
    return CacheConfig(bucket=bucket, prefix=f"{prefix}/" if prefix else "")


def _section(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = document.get(name, {})
    if not isinstance(section, dict):
        raise BadRequest(f"{name} must be a table.", f"Write [{name}] and its keys below it.")
    return section


def _text(section: Mapping[str, Any], key: str, default: str) -> str:
    value = section.get(key, default)
    if not isinstance(value, str):
        raise BadRequest(f"{key} must be text, not {value!r}.", f'Write {key} = "...".')
    return value


def _texts(section: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = section.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadRequest(f"{key} must be a list of texts.", f'Write {key} = ["float32[1,3,224,224]"].')
    return tuple(value)


def _choice(section: Mapping[str, Any], key: str, default: str, choices: tuple[str, ...]) -> str:
    value = _text(section, key, default)
    if value not in choices:
        raise BadRequest(f"{key} cannot be {value!r}.", f"Choose one of: {', '.join(choices)}.")
    return value


def _number(section: Mapping[str, Any], key: str, default: float, *, at_least: float) -> float:
    value = section.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < at_least:
        raise BadRequest(
            f"{key} must be a number of at least {at_least:g}, not {value!r}.", f"Write {key} = {default:g}."
        )
    return float(value)


def _optional(section: Mapping[str, Any], key: str) -> float | None:
    if section.get(key) is None:
        return None
    value = _number(section, key, 1.0, at_least=0.0)
    if value == 0.0:
        raise BadRequest(f"{key} must be more than 0.", f"Leave {key} out for no limit.")
    return value
