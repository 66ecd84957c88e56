"""What a campaign found out about one served model, as one record."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from artifacts.measure.points import Point
from artifacts.measure.protocol import Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """The requests that were thrown away, and whether the server had settled by then."""

    requests: int
    seconds: float
    windows: tuple[tuple[float, float], ...]  # (requests/s, median ms) of each window
    steady: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """The highest rate one host sustains, and the interval it lies in, in requests/s."""

    rps: float
    low_rps: float
    high_rps: float
    basis: str  # what "sustains" means here, in words


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """Where the load came from and how much faster it is than what it measured."""

    placement: str  # "same-host" when generator and server share a machine
    echo_rps: float
    headroom: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Everything measured about one served model in one go."""

    protocol: Protocol
    warm_up: WarmUp
    floor: Point
    ceiling: tuple[Point, ...]  # closed loop, one point per concurrency, beginning with the floor
    points: tuple[Point, ...]  # open loop, in the order they were run
    best: Point | None  # the open-loop point the peak rests on
    peak: Peak | None  # None when no rate met the limit
    reason: str  # why the peak is what it is, or why there is none
    generator: Generator
    warnings: tuple[str, ...]

    @property
    def all_points(self) -> tuple[Point, ...]:
        """Every point, closed loop first; the packed raw samples have the same order."""
        return (*self.ceiling, *self.points)

    @property
    def latency_point(self) -> Point:
        """The point whose latencies stand for the model: at the peak, else with one request at a time."""
        return self.best or self.floor

    def to_json(self) -> dict[str, Any]:
        """Return the measurement as a JSON object, without raw samples."""
        return {
            "protocol": self.protocol.to_json(),
            "warm_up": asdict(self.warm_up),
            "floor": self.floor.to_json(),
            "ceiling": [point.to_json() for point in self.ceiling],
            "points": [point.to_json() for point in self.points],
            "best": self.best.to_json() if self.best else None,
            "peak": asdict(self.peak) if self.peak else None,
            "reason": self.reason,
            "generator": asdict(self.generator),
            "warnings": list(self.warnings),
            "disclaimer": self.protocol.disclaimer,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Measurement:
        """Return the measurement of a JSON object."""
        best, peak, warm_up = document["best"], document["peak"], document["warm_up"]
        windows = tuple((rate, median) for rate, median in warm_up["windows"])
        return cls(
            protocol=Protocol.from_json(document["protocol"]),
            warm_up=WarmUp(**{**warm_up, "windows": windows}),
            floor=Point.from_json(document["floor"]),
            ceiling=tuple(Point.from_json(point) for point in document["ceiling"]),
            points=tuple(Point.from_json(point) for point in document["points"]),
            best=Point.from_json(best) if best else None,
            peak=Peak(**peak) if peak else None,
            reason=document["reason"],
            generator=Generator(**document["generator"]),
            warnings=tuple(document["warnings"]),
        )
