from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from artifacts.measure.protocol import Mode
from provisioning.pricing import EndpointCharge, PriceTable
from provisioning.ranking import Assumptions, rank
from provisioning.report import render
from tests.provisioning.measured import a_measurement, a_target, missing_its_limit, peaking, results_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from artifacts.measure.results import Results

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>&'$model"
VOID = {"meta", "br", "img", "link", "input", "hr"}
GONE: Mapping[str, object] = {"verified": True, "left": []}


class Reader(HTMLParser):
    """Reads the page as a browser would: tags in balance, text, attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend((name, value or "") for name, value in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))


def page_of(
    results: Results,
    *,
    traffic_rps: float | None = None,
    teardown: Mapping[str, object] | None = GONE,
) -> Reader:
    assumptions = Assumptions(traffic_rps=traffic_rps, endpoints=EndpointCharge(endpoints=3, zones=2))
    reader = Reader(render(results, rank(results, PriceTable.load(), assumptions), teardown))
    assert reader.open == []
    return reader


def test_the_answer_is_one_sentence_at_the_top() -> None:
    results = results_of(a_target("g4dn.xlarge", peaking(100)), a_target("c7i.xlarge", peaking(100)))
    text = page_of(results, traffic_rps=150).text
    assert "The cheapest of 2 targets for 150 requests/s is c7i.xlarge: $" in text
    assert "within 20 ms (p90), with 2 hosts." in text


def test_without_traffic_the_answer_is_at_the_peak() -> None:
    assert "at its peak of 101 requests/s." in page_of(results_of(a_target("c7i.xlarge", peaking(101)))).text


def test_a_tie_is_said_to_be_one() -> None:
    results = results_of(
        a_target("c5.xlarge", peaking(100, low=90, high=110)),
        a_target("c7i.xlarge", peaking(100, low=90, high=110)),
    )
    text = page_of(results).text
    assert "are c5.xlarge and c7i.xlarge, tied at $" in text
    assert "cannot tell them apart" in text
    assert "fewer than 3 repeats (1)" in text


def test_when_nothing_can_be_ranked_the_page_says_so_with_the_reasons() -> None:
    results = results_of(
        a_target("c5.large", missing_its_limit()), a_target("inf2.xlarge", failure="no capacity")
    )
    text = page_of(results).text
    assert "The answer is that none of 2 targets could be ranked within 20 ms (p90)." in text
    assert "limit missed: even one request at a time takes 30.0 ms" in text
    assert "no capacity" in text


def test_emulated_figures_are_marked_loudly_everywhere_they_are_read() -> None:
    results = results_of(a_target("inf2.xlarge", peaking(100), emulated=True, stand_in=True))
    page = page_of(results)
    assert "they are not the speed or the cost of any real accelerator" in page.text
    assert "In the emulation, the cheapest" in page.text
    assert ("class", "emulated") in page.attributes
    assert page.text.count("CPU stand-in") == 1
    assert page.texts.index("emulated") < page.texts.index("Teardown")


def test_real_figures_carry_no_such_mark() -> None:
    assert "mulat" not in page_of(results_of(a_target("c7i.xlarge", peaking(100)))).text


def test_hostile_names_stay_text_wherever_they_come_from() -> None:
    measurement = replace(peaking(100), warnings=(HOSTILE,), reason=HOSTILE)
    hostile = replace(a_target("c7i.xlarge", measurement), accelerator=HOSTILE, lane=HOSTILE)
    failed = replace(a_target("m5.large", failure=HOSTILE), accelerator=HOSTILE)
    results = replace(results_of(hostile, failed), model=HOSTILE, deployment=HOSTILE, created_at=HOSTILE)
    page = page_of(results, teardown={"verified": False, "left": [HOSTILE]})
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert sum(HOSTILE in text for text in page.texts) >= 9


def test_the_page_loads_nothing_from_anywhere() -> None:
    page = page_of(results_of(a_target("c7i.xlarge", peaking(100))), traffic_rps=10)
    names = {name for name, _ in page.attributes}
    assert not names & {"src", "href", "srcset", "action", "data"}
    assert not {"script", "link", "iframe", "img", "object"} & set(page.tags)
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes


def test_the_style_sheet_loads_nothing_either_and_knows_light_and_dark() -> None:
    results = results_of(a_target("c7i.xlarge", peaking(100)))
    page = render(results, rank(results, PriceTable.load(), Assumptions()), None)
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style
    assert 'name="viewport"' in page


@pytest.mark.parametrize(
    ("teardown", "words"),
    [
        (GONE, "Everything is gone"),
        ({"verified": False, "left": ["vpc-1"]}, "Something is left behind: vpc-1"),
        ({"verified": True, "left": ["vpc-1"]}, "Something is left behind: vpc-1"),
        ({"verified": False, "left": []}, "It was not verified"),
        (None, "may still cost money"),
    ],
)
def test_the_teardown_verdict_is_never_better_than_what_was_verified(
    teardown: Mapping[str, object] | None, words: str
) -> None:
    text = page_of(results_of(a_target("c7i.xlarge", peaking(100))), teardown=teardown).text
    assert words in text
    assert ("Everything is gone" in text) == (teardown is GONE)


def test_how_it_was_measured_and_what_it_cost_is_all_there() -> None:
    target = a_target("c7i.xlarge", replace(a_measurement(), warnings=("the server had not settled",)))
    text = page_of(results_of(target)).text
    assert "seed 20261121" in text
    assert "95% confidence" in text
    assert "Warning: the server had not settled." in text
    assert "hourly charges / (3600 x requests per second) x 1,000,000" in text
    assert "compiled 2026-11-21" in text
    assert "3 interface endpoints in 2 zones" in text
    assert "skypilot-catalog" in text


def test_a_percentile_without_enough_samples_is_not_a_figure() -> None:
    floor_only = replace(peaking(100), best=None)  # one second of one request at a time: some 200 samples
    assert "insufficient samples" in page_of(results_of(a_target("c7i.xlarge", floor_only))).text


def test_mlperf_style_load_says_what_it_is_not() -> None:
    target = a_target("c7i.xlarge", a_measurement(mode=Mode.MLPERF, slo_ms=50))
    assert "this is not an MLPerf result" in page_of(results_of(target)).text


def test_without_a_limit_there_is_no_limit_in_the_words_or_the_plot() -> None:
    page = page_of(results_of(a_target("c7i.xlarge", a_measurement(slo_ms=None))))
    assert "within" not in page.text.split("Ranking")[0]
    assert ("class", "limit") not in page.attributes
    assert "no latency limit" in page.text
