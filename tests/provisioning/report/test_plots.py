from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.report.plots import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Mark,
    Series,
    latency_plot,
    series_of,
)
from tests.provisioning.measured import a_measurement

figures = st.floats(1e-3, 1e5)
marks = st.builds(Mark, rps=figures, latency_ms=figures, met=st.sampled_from([True, False, None]))


def series(*found: Mark, name: str = "c7i.xlarge") -> Series:
    return Series(name=name, marks=found, refused=0)


@given(st.lists(marks, min_size=1, max_size=12), st.none() | figures)
def test_every_dot_and_the_limit_lie_inside_the_frame(found: list[Mark], slo_ms: float | None) -> None:
    plot = latency_plot([series(*found)], slo_ms, 99)
    assert plot is not None
    dots = plot.findall(".//circle")
    assert len(dots) == len(found)
    for dot in dots:
        assert LEFT - 1 <= float(dot.attrib["cx"]) <= WIDTH - RIGHT + 1
        assert TOP - 1 <= float(dot.attrib["cy"]) <= HEIGHT - BOTTOM + 1
    limits = [line for line in plot.findall("line") if line.attrib["class"] == "limit"]
    assert len(limits) == (slo_ms is not None)
    for line in limits:
        assert TOP - 1 <= float(line.attrib["y1"]) <= HEIGHT - BOTTOM + 1


@given(figures, st.floats(1.01, 1e6), st.booleans())
def test_an_axis_has_ticks_that_people_can_read(low: float, times: float, logarithmic: bool) -> None:
    axis = Axis(low=low, high=low * times, start=0, end=100, logarithmic=logarithmic)
    ticks = axis.ticks()
    assert len(ticks) <= 32
    assert list(ticks) == sorted(ticks)
    for tick in ticks:
        assert -0.01 <= axis.at(tick) <= 100.01


def test_more_load_is_further_right_and_more_latency_further_up() -> None:
    plot = latency_plot(
        [series(Mark(rps=10, latency_ms=5, met=True), Mark(rps=20, latency_ms=30, met=False))], 20, 90
    )
    assert plot is not None
    calm, busy = plot.findall(".//circle")
    assert float(calm.attrib["cx"]) < float(busy.attrib["cx"])
    assert float(calm.attrib["cy"]) > float(busy.attrib["cy"])
    assert (calm.attrib["class"], busy.attrib["class"]) == ("met", "missed")
    (limit,) = [line for line in plot.findall("line") if line.attrib["class"] == "limit"]
    assert float(busy.attrib["cy"]) < float(limit.attrib["y1"]) < float(calm.attrib["cy"])


def test_each_target_has_a_colour_of_its_own() -> None:
    mark = Mark(rps=10, latency_ms=5, met=True)
    plot = latency_plot([series(mark, name=name) for name in ("a", "b", "c")], None, 90)
    assert plot is not None
    assert [group.attrib["class"] for group in plot.findall("g")] == ["series s1", "series s2", "series s3"]


def test_nothing_measured_is_no_plot() -> None:
    assert latency_plot([series()], 20, 99) is None


def test_a_series_holds_the_open_loop_points_at_the_claimed_percentile_by_rising_rate() -> None:
    measurement = a_measurement()
    found = series_of("c7i.xlarge", measurement)
    assert len(found.marks) + found.refused == len(measurement.points)
    assert [mark.rps for mark in found.marks] == sorted(mark.rps for mark in found.marks)
    by_rate = {point.achieved_rps: point for point in measurement.points}
    for mark in found.marks:
        quantile = by_rate[mark.rps].quantile(90)
        assert quantile is not None
        assert mark.latency_ms == pytest.approx(quantile.value_ms)
