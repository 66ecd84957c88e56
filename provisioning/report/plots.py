"""Latency against rate as an SVG drawn by hand: colours follow the page, text stays text."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioning.report.elements import element
from provisioning.report.words import figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from xml.etree.ElementTree import Element

    from artifacts.measure.measurement import Measurement

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 62, 20, 18, 50
COLOURS = 6  # as many as the page's style sheet defines
MANY_TIMES = 8  # an axis that spans more than this is logarithmic


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One measured point: a rate, the latency at the claimed percentile, and whether the limit was met."""

    rps: float
    latency_ms: float
    met: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The points of one target, by rising rate, and how many had no latency that could be claimed."""

    name: str
    marks: tuple[Mark, ...]
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A range of values laid out between two positions."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool

    def at(self, value: float) -> float:
        """Return the position of a value."""
        if self.logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> tuple[float, ...]:
        """Return round values inside the range."""
        if not self.logarithmic:
            step = _round_step((self.high - self.low) / 5)
            first = math.ceil(self.low / step)
            return tuple(step * i for i in range(first, math.floor(self.high / step) + 1))
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        candidates = (factor * 10.0**power for power in powers for factor in (1, 2, 5))
        return tuple(value for value in candidates if self.low <= value <= self.high)


def series_of(name: str, measurement: Measurement) -> Series:
    """Return the open-loop points of a measurement at the percentile its verdict rests on."""
    percent = measurement.protocol.claimed_percentile
    marks = []
    for point in measurement.points:
        quantile = point.quantile(percent)
        if quantile is not None and quantile.value_ms is not None:
            met = None if point.verdict is None else point.verdict.met
            marks.append(Mark(rps=point.achieved_rps, latency_ms=quantile.value_ms, met=met))
    ordered = tuple(sorted(marks, key=lambda mark: mark.rps))
    return Series(name=name, marks=ordered, refused=len(measurement.points) - len(marks))


def latency_plot(all_series: Sequence[Series], slo_ms: float | None, percent: float) -> Element | None:
    """Return latency at a percentile against rate, with the limit as a line; None without any point."""
    marks = [mark for series in all_series for mark in series.marks]
    if not marks:
        return None
    latencies = [mark.latency_ms for mark in marks] + ([] if slo_ms is None else [slo_ms])
    across = _axis([mark.rps for mark in marks], LEFT, WIDTH - RIGHT, from_zero=True)
    up = _axis(latencies, HEIGHT - BOTTOM, TOP, from_zero=True)
    parts = [*_grid(across, up, percent)]
    if slo_ms is not None:
        parts.extend(_limit_line(up, slo_ms))
    for number, series in enumerate(all_series):
        parts.append(_series(series, number % COLOURS + 1, across, up))
    label = f"Latency at p{percent:g} against requests per second"
    return element("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=label)


def _axis(values: Sequence[float], start: float, end: float, *, from_zero: bool) -> Axis:
    low, high = min(values), max(values)
    if high > MANY_TIMES * low:
        return Axis(low=low / 1.3, high=high * 1.3, start=start, end=end, logarithmic=True)
    return Axis(low=0.0 if from_zero else low, high=high * 1.12, start=start, end=end, logarithmic=False)


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)


def _grid(across: Axis, up: Axis, percent: float) -> list[Element]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for value in across.ticks():
        x = across.at(value)
        parts.append(element("line", x1=x, x2=x, y1=TOP, y2=bottom, class_="grid"))
        parts.append(element("text", figure(value), x=x, y=bottom + 18, text_anchor="middle"))
    for value in up.ticks():
        y = up.at(value)
        parts.append(element("line", x1=LEFT, x2=right, y1=y, y2=y, class_="grid"))
        parts.append(element("text", figure(value), x=LEFT - 8, y=y + 4, text_anchor="end"))
    scale = " (logarithmic)" if up.logarithmic else ""
    title = f"latency p{percent:g}, ms{scale}"
    middle = (TOP + bottom) / 2
    parts.append(element("text", "requests per second", x=(LEFT + right) / 2, y=HEIGHT - 8, class_="title"))
    parts.append(
        element("text", title, x=0, y=0, class_="title", transform=f"translate(14 {middle:.0f}) rotate(-90)")
    )
    return parts


def _limit_line(up: Axis, slo_ms: float) -> list[Element]:
    y = up.at(slo_ms)
    return [
        element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="limit"),
        element("text", f"limit {slo_ms:g} ms", x=LEFT + 6, y=y - 6, class_="limit"),
    ]


def _series(series: Series, colour: int, across: Axis, up: Axis) -> Element:
    places = [(across.at(mark.rps), up.at(mark.latency_ms), mark) for mark in series.marks]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
    dots = []
    for x, y, mark in places:
        words = {True: "met the limit", False: "missed the limit", None: "no limit"}[mark.met]
        tip = element(
            "title",
            f"{series.name}: {figure(mark.latency_ms)} ms at {figure(mark.rps)} requests/s, {words}",
        )
        state = "missed" if mark.met is False else "met"
        dots.append(element("circle", tip, cx=x, cy=y, r=5, class_=state))
    return element("g", element("polyline", points=line), *dots, class_=f"series s{colour}")
