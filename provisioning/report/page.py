"""The page: what a manager reads first comes first, and how it was found out comes last."""

from __future__ import annotations

from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from provisioning.report import sections, words
from provisioning.report.elements import element, html

if TYPE_CHECKING:
    from collections.abc import Mapping
    from xml.etree.ElementTree import Element

    from artifacts.measure.results import Results
    from provisioning.ranking import Ranking

PAGE_FILE = Path(__file__).with_name("page.html")


def render(results: Results, ranking: Ranking, teardown: Mapping[str, Any] | None) -> str:
    """Return the report as one HTML file that loads nothing from anywhere.

    `teardown` is the contract's {"verified", "left"} object, or None when nothing was torn down.
    """
    parts = [
        *_banner(results),
        _header(results, ranking),
        *sections.ranking(ranking),
        *sections.cost_bars(ranking),
        *sections.latency(ranking),
        *sections.teardown(teardown),
        *sections.method(ranking),
        *sections.prices(ranking),
    ]
    title = html(element("title", f"{results.model}: {words.headline(ranking)}"))
    inner_title = title.removeprefix("<title>").removesuffix("</title>")
    template = Template(PAGE_FILE.read_text(encoding="utf-8"))
    return template.substitute(title=inner_title, body=html(element("main", *parts)))


def _banner(results: Results) -> list[Element]:
    return [element("p", words.EMULATED, class_="emulated", role="note")] if results.emulated else []


def _header(results: Results, ranking: Ranking) -> Element:
    where = f"{results.model} · deployment {results.deployment} · {results.region} · {results.created_at}"
    return element("header", element("p", where), element("h1", words.headline(ranking)))
